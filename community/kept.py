"""What is kept about members on this floor and the ground, and in the tables of Django and allauth."""

from allauth.account.models import EmailAddress, EmailConfirmation
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from community import audit, exports, households, members, models, privacy, sign_ins
from community.kept_reaching import BELL, MAILED_KEYS, MAILS
from community.models import Member
from community.personal_fields import (
    ONLY_YOU,
    UNTIL_CHANGED,
    WITH_ACCOUNT,
    Basis,
    Neutral,
    Purpose,
    add,
    in_order,
    table,
)
from realtime import direct, reports
from realtime.models import (
    Block,
    Complaint,
    DirectTalk,
    Entry,
    Mention,
    Participant,
    Report,
    ReportedLine,
    Room,
    Showing,
    Site,
    TalkRequest,
)

KEY, LINK, COUNT, SHARED, SITE = Neutral.KEY, Neutral.LINK, Neutral.COUNT, Neutral.SHARED, Neutral.SITE

ADDRESS = Purpose(
    _("E-mail address"),
    _("To sign you in and to send what you asked for"),
    Basis.CONTRACT,
    _("You; staff of your home centre and of those whose events you register for"),
    _("As long as you have an account; an address that nobody confirms goes after %(days)d days"),
    members.UNCONFIRMED_KEPT,
    members.forget_unconfirmed,
    _("The operator's mail provider, to carry mail to it"),
)
ACCOUNT = Purpose(
    _("Your account: language, time zone, since when, last time signed in"),
    _("To speak your language and show your time; to close accounts that nobody uses"),
    Basis.CONTRACT,
    ONLY_YOU,
    _("As long as you have an account; unused for %(years)d years it is closed, after two mails"),
    privacy.UNUSED_KEPT,
    privacy.close_unused,
)
PROFILE = Purpose(
    _("Display name, languages, a few words about you, interests"),
    _("So that others know who they meet"),
    Basis.CONSENT,
    _("Signed-in members"),
    UNTIL_CHANGED,
)
TOWNS = Purpose(
    _("The towns where you live and work"),
    _("To suggest what is near"),
    Basis.CONSENT,
    _("You; others only see a rounded distance. Never a street, never your position"),
    UNTIL_CHANGED,
)
HOUSEHOLD = Purpose(
    _("Your household, children by nickname and birth year"),
    _("To sign up together"),
    Basis.CONTRACT,
    _("The adults of the household; the host and the door of an event they come to"),
    _("Until you remove it"),
)
INVITATION = Purpose(
    _("The address of somebody you invited into your household"),
    _("To ask them once, and to know the answer"),
    Basis.INTEREST,
    _("You and who was invited"),
    _("%(days)d days after it was sent or answered"),
    households.INVITATION_KEPT,
    households.forget_old,
    _("The operator's mail provider, to carry mail to it"),
)
CIRCLES = Purpose(
    _("The circles you are in, ask to join or host"),
    _("To let you into their rooms"),
    Basis.CONTRACT,
    _("Signed-in members"),
    _("Until you leave"),
)
MESSAGES = Purpose(
    _("Messages in rooms"),
    _("To have a conversation"),
    Basis.CONTRACT,
    _("Members of that room"),
    _("Until you or the room remove them; a removed message is blanked at once"),
)
READING = Purpose(
    _("The rooms you are in and how far you have read"),
    _("To count what is new for you"),
    Basis.CONTRACT,
    _("You; members of a room see that you are in it"),
    WITH_ACCOUNT,
)
CONSENTS = Purpose(
    _("What you agreed to, in which version, and when"),
    _("We must be able to show it"),
    Basis.LAW,
    _("You and the operator"),
    WITH_ACCOUNT,
)
ROLES = Purpose(
    _("Your tasks at a centre or as a host, and who gave them to you"),
    _("So that only those who should can look after events and people"),
    Basis.INTEREST,
    _("You and the managers of that centre"),
    _("As long as you have the task"),
)
LOCKS = Purpose(
    _("Passkeys, authenticator apps, recovery codes"),
    _("To let in you and nobody else"),
    Basis.CONTRACT,
    ONLY_YOU,
    _("Until you remove it"),
)
TOKENS = Purpose(
    _("Names of programs that may act for you"),
    _("So that you can stop them"),
    Basis.CONTRACT,
    ONLY_YOU,
    WITH_ACCOUNT,
)
DEVICES = Purpose(
    _("Devices you are signed in on: browser, address, time"),
    _("So that you can spot a stranger and end the session"),
    Basis.INTEREST,
    ONLY_YOU,
    _("%(days)d days after signing in at most"),
    sign_ins.SESSION_KEPT,
    sign_ins.forget_old_sessions,
)
SECURITY = Purpose(
    _("A security log: who signed in, was given a task, looked at or took along data"),
    _("To find out what happened when something went wrong"),
    Basis.INTEREST,
    _("You and the operator; what staff did with you, they and their manager"),
    _("%(days)d days"),
    audit.KEPT_FOR,
    audit.forget_old,
)
COPIES = Purpose(
    _("A copy of your data, when you ask for one"),
    _("So that you can take it along"),
    Basis.LAW,
    ONLY_YOU,
    _("%(days)d days"),
    exports.KEPT_FOR,
    exports.forget_old,
)
LEAVING = Purpose(
    _("That you asked to be forgotten, and when"),
    _("To do it, and to do it again after a backup was restored"),
    Basis.LAW,
    _("You and the operator"),
    _("A random number without a name stays for %(days)d days"),
    privacy.NUMBER_KEPT,
    privacy.forget_numbers,
)

BLOCKS = Purpose(
    _("Whom you have blocked"),
    _("So that you two hear nothing of each other"),
    Basis.CONTRACT,
    ONLY_YOU,
    _("Until you take the block away, or until you leave"),
)
SHOWING = Purpose(
    _("Whether others may see that you are here, and that you are writing"),
    _("Because you chose so; until then nobody sees it"),
    Basis.CONSENT,
    ONLY_YOU,
    _("Until you leave"),
)

TALKING = Purpose(
    _("With whom you talk alone"),
    _("So that the two of you have one conversation"),
    Basis.CONTRACT,
    _("The two of you"),
    WITH_ACCOUNT,
)
ASKING = Purpose(
    _("Whom you asked to talk, who asked you, and the answer"),
    _("To ask once, and to know the answer"),
    Basis.CONTRACT,
    _("Who was asked; who asked learns of a yes only"),
    _("%(days)d days"),
    direct.ASKED_FOR,
    direct.forget_old,
)
REPORTS = Purpose(
    _("What you reported and why; a copy of what was reported, yours too; what was decided"),
    _("So that somebody can look at it, and keep people safe"),
    Basis.INTEREST,
    _(
        "Who looks after that room, and staff of your centre or of theirs who is reported; never who is reported"
    ),
    _("%(days)d days after the decision"),
    reports.KEPT_FOR,
    reports.forget_old,
)

in_order(
    1, ADDRESS, ACCOUNT, PROFILE, TOWNS, HOUSEHOLD, INVITATION, CIRCLES, MESSAGES, READING, SHOWING, BLOCKS
)
in_order(2, TALKING, ASKING, REPORTS)
in_order(3, MAILS, BELL, MAILED_KEYS, CONSENTS, ROLES, LOCKS, DEVICES, TOKENS, SECURITY, COPIES, LEAVING)
add(
    table(
        Member,
        {
            KEY: "id",
            ADDRESS: "email",
            PROFILE: "display_name",
            ACCOUNT: "password last_login language time_zone channels is_active date_joined onboarded_at",
            ROLES: "is_superuser is_staff is_host",
        },
        lambda pk: Member.objects.filter(pk=pk),
        withheld="password",
    ),
    table(
        models.Profile,
        {
            LINK: "member",
            PROFILE: "about about_language languages",
            TOWNS: "lives works",
            ACCOUNT: "centre",
        },
        lambda pk: models.Profile.objects.filter(member=pk),
        {"lives": "lives__name", "works": "works__name", "centre": "centre__name"},
    ),
    table(
        models.Profile.interests.through,
        {KEY: "id", LINK: "profile", PROFILE: "interest"},
        lambda pk: models.Profile.interests.through.objects.filter(profile=pk),
        {"interest": "interest__slug"},
    ),
    table(
        EmailAddress,
        {KEY: "id", LINK: "user", ADDRESS: "email verified primary"},
        lambda pk: EmailAddress.objects.filter(user=pk),
    ),
    table(
        EmailConfirmation,
        {KEY: "id", LINK: "email_address", ADDRESS: "created sent key"},
        lambda pk: EmailConfirmation.objects.filter(email_address__user=pk),
        withheld="key",
    ),
    table(
        models.Consent,
        {KEY: "id", LINK: "member", CONSENTS: "document version language given_at"},
        lambda pk: models.Consent.objects.filter(member=pk),
    ),
    table(
        models.Role,
        {KEY: "id", LINK: "member", ROLES: "centre kind granted_by granted_at"},
        lambda pk: models.Role.objects.filter(member=pk),
        {"centre": "centre__name", "granted_by": "granted_by__display_name"},
    ),
    table(
        Member.groups.through,
        {KEY: "id", LINK: "member", ROLES: "group"},
        lambda pk: Member.groups.through.objects.filter(member=pk),
        {"group": "group__name"},
    ),
    table(
        Member.user_permissions.through,
        {KEY: "id", LINK: "member", ROLES: "permission"},
        lambda pk: Member.user_permissions.through.objects.filter(member=pk),
        {"permission": "permission__codename"},
    ),
    table(
        models.HouseholdAdult,
        {KEY: "id", LINK: "household member", HOUSEHOLD: "joined_at"},
        lambda pk: models.HouseholdAdult.objects.filter(member=pk),
    ),
    table(models.Household, {KEY: "id", COUNT: "created_at"}),
    table(models.HouseholdRoom, {LINK: "household room"}),
    table(
        models.Child,
        {KEY: "id", LINK: "household", HOUSEHOLD: "nickname birth_year"},
        lambda pk: models.Child.objects.filter(household__adults__member=pk),
    ),
    table(
        models.HouseholdInvitation,
        {KEY: "id", LINK: "inviter", INVITATION: "email state created_at answered_at"},
        lambda pk: models.HouseholdInvitation.objects.filter(inviter=pk),
    ),
    table(
        models.CircleMembership,
        {KEY: "id", LINK: "member", CIRCLES: "circle is_host state since"},
        lambda pk: models.CircleMembership.objects.filter(member=pk),
        {"circle": "circle__name"},
    ),
    table(
        Entry,
        {
            KEY: "id key",
            LINK: "room author",
            COUNT: "seq n kind target rev removed_at reason",
            MESSAGES: "text language emoji on at",
        },
        lambda pk: Entry.objects.filter(author=pk).exclude(room__kind=Room.Kind.CONTROL),
        {"room": "room__title", "kind": "kind"},
    ),
    table(
        Participant,
        {KEY: "id", LINK: "member", READING: "room joined_seq left_seq out read_seq read_n muted"},
        lambda pk: Participant.objects.filter(member=pk),
        {"room": "room__title"},
    ),
    table(
        Mention,
        {KEY: "id", LINK: "member room", READING: "seq name"},
        lambda pk: Mention.objects.filter(member=pk),
        {"room": "room__title"},
    ),
    table(
        Block,
        {KEY: "id", LINK: "blocker", BLOCKS: "blocked created_at"},
        lambda pk: Block.objects.filter(blocker=pk),
        {"blocked": "blocked__display_name"},
    ),
    table(
        DirectTalk,
        {KEY: "id", LINK: "room first second", TALKING: "opened_at"},
        lambda pk: DirectTalk.objects.filter(Q(first=pk) | Q(second=pk)),
    ),
    table(
        TalkRequest,
        {KEY: "id", LINK: "asker asked", ASKING: "asked_at", COUNT: "state answered_at"},
        lambda pk: TalkRequest.objects.filter(asker=pk),
        {"asked": "asked__display_name"},
    ),
    table(
        Report,
        {
            KEY: "id",
            LINK: "room decided_by",
            COUNT: "seq opened_at",
            REPORTS: "about decision note decided_at",
        },
        lambda pk: Report.objects.filter(decided_by=pk),
        {"room": "room__title"},
        withheld="about",  # whoever decided takes along what they wrote, not whom it was about
    ),
    table(
        ReportedLine,
        {KEY: "id", LINK: "report author", COUNT: "seq", REPORTS: "at text language"},
        lambda pk: ReportedLine.objects.filter(author=pk, report__decided_at__isnull=False),
    ),
    table(
        Complaint,
        {KEY: "id", LINK: "report member", REPORTS: "reason text at"},
        lambda pk: Complaint.objects.filter(member=pk),
    ),
    table(Showing, {LINK: "member", SHOWING: "is_shown"}, lambda pk: Showing.objects.filter(member=pk)),
    table(
        models.ApiToken,
        {KEY: "id", LINK: "member", TOKENS: "name digest created_at revoked_at"},
        lambda pk: models.ApiToken.objects.filter(member=pk),
        withheld="digest",
    ),
    table(
        Authenticator,
        {KEY: "id", LINK: "user", LOCKS: "type data created_at last_used_at"},
        lambda pk: Authenticator.objects.filter(user=pk),
        withheld="data",
    ),
    table(
        UserSession,
        {KEY: "id", LINK: "user", DEVICES: "created_at ip last_seen_at session_key user_agent data"},
        lambda pk: UserSession.objects.filter(user=pk),
        withheld="session_key",
    ),
    table(Session, {DEVICES: "session_key session_data expire_date"}, withheld="session_key session_data"),
    table(
        models.SecurityRecord,
        {KEY: "id", LINK: "actor subject", SECURITY: "at action centre target"},
        lambda pk: models.SecurityRecord.objects.filter(Q(subject=pk) | Q(actor=pk)),
        {"centre": "centre__name"},
    ),
    table(
        models.Export,
        {
            KEY: "id",
            LINK: "member",
            COUNT: "progress claimed_at tries size",
            COPIES: "state language asked_at done_at expires_at",
        },
        lambda pk: models.Export.objects.filter(member=pk),
    ),
    table(models.ExportPart, {KEY: "id", LINK: "export", COUNT: "number", COPIES: "data"}, withheld="data"),
    table(
        models.Erasure,
        {KEY: "id", LEAVING: "member_id asked_at due_at reminded_at done_at"},
        lambda pk: models.Erasure.objects.filter(member_id=pk),
        withheld="member_id",
    ),
    table(
        models.Circle,
        {
            KEY: "id slug",
            LINK: "room interest place",
            COUNT: "size created_at closed_at version",
            SHARED: "name description language translations search join",
        },
    ),
    table(
        models.Centre,
        {KEY: "id slug", SITE: "name place email language languages about"},
    ),
    table(
        models.Place,
        {KEY: "id", SITE: "name country region lat lon population time_zone"},
    ),
    table(models.PlaceName, {KEY: "id", LINK: "place", SITE: "name folded"}),
    table(models.Postcode, {KEY: "id", LINK: "place", SITE: "country code name municipality lat lon"}),
    table(
        models.Interest,
        {KEY: "id slug", SITE: "group group_labels emoji labels position"},
    ),
    table(Room, {KEY: "id", SHARED: "kind title titles link", COUNT: "head n closed_at created_at"}),
    table(Site, {KEY: "id", SITE: "epoch"}),
    table(Permission, {KEY: "id", LINK: "content_type", SITE: "name codename"}),
    table(Group, {KEY: "id", SITE: "name"}),
    table(Group.permissions.through, {KEY: "id", LINK: "group permission"}),
    table(ContentType, {KEY: "id", SITE: "app_label model"}),
)

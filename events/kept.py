"""What is kept about members on this floor: declared for the privacy page, the export and the sweeps."""

from allauth.account.models import EmailAddress
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from community.personal_fields import ONLY_YOU, WITH_ACCOUNT, Basis, Neutral, Purpose, add, in_order, table
from events import privacy
from events.models import (
    Answers,
    Attendee,
    CalendarFeed,
    CallOff,
    Claim,
    CoHost,
    DoorHelper,
    EndedParty,
    Event,
    Gate,
    GatePairing,
    Inquiry,
    Invitation,
    InvitationStop,
    PartnerCalendar,
    PartnerDate,
    Pool,
    Registration,
    Reminder,
    Scan,
    Series,
)

KEY, LINK, COUNT, SHARED = Neutral.KEY, Neutral.LINK, Neutral.COUNT, Neutral.SHARED

PARTIES = Purpose(
    _("Registrations and who comes with you, by name and age"),
    _("To hold your places and count each person once"),
    Basis.CONTRACT,
    _("You; who is named in the party; host, door and staff of that event"),
    _("Names and ages go %(days)d days after the event; that you came stays with your account"),
    privacy.NAMES_KEPT,
    privacy.forget_names,
)
ANSWERS = Purpose(
    _("What you answer to the questions of a host; about diet and health only with your yes to each"),
    _("So that the host can plan: what you eat, which language you speak, what you need"),
    Basis.CONSENT,
    _("You; host, door and staff of that event"),
    _("Until %(days)d days after the event, or until you cancel"),
    privacy.ANSWERS_KEPT,
    privacy.forget_answers,
)
ASKED = Purpose(
    _("What you ask the host of an event, and the answer"),
    _("So that you know before you come; where the host answers everybody, without your name"),
    Basis.CONTRACT,
    _(
        "You; who hosts the event and its staff; everybody who sees it, without your name, what the host publishes"
    ),
    _("Until %(days)d days after the event"),
    privacy.INQUIRIES_KEPT,
    privacy.forget_inquiries,
)
INVITED = Purpose(
    _("That somebody invited you to an event, and what you answered"),
    _("To ask you once and let you in, also where only those come who are invited"),
    Basis.INTEREST,
    _("You; who hosts the event and its staff; your address only who wrote it down"),
    _("Until %(days)d days after the event"),
    privacy.INVITATIONS_KEPT,
    privacy.forget_invitations,
)
STOPPED = Purpose(
    _("Centres that may not invite you any more"),
    _("So that none of their events asks you again"),
    Basis.INTEREST,
    ONLY_YOU,
    _("Until you allow it again, or leave"),
)
DOOR = Purpose(
    _("Scans of your ticket, and those you made as a helper"),
    _("To let each person in once, and to know who did"),
    Basis.CONTRACT,
    _("You; host, door and staff of that event"),
    _("As long as you have an account; after that only the number who came stays"),
)
GATES = Purpose(
    _("Codes by which a phone became a scanner"),
    _("To let only phones that the host knows open a door"),
    Basis.INTEREST,
    ONLY_YOU,
    _("%(days)d day"),
    privacy.PAIRING_KEPT,
    privacy.forget_pairings,
)
HOSTING = Purpose(
    _("The events you host"),
    _("So that people know who invites them"),
    Basis.CONTRACT,
    _("Everybody who may see the event"),
    WITH_ACCOUNT,
)

DETAILS = (
    "title description language translations venue address town timezone all_day visibility waiting_list capacity"
    " languages needs_language needs_level for_families min_age max_age step_free childcare is_free price_note doors_minutes by_approval"
    " opens_before closes_before fixed_before questions ticket_types asks_again"
)


def _reaches(pk: int) -> Q:
    """What names a member, or an address that is known to be theirs."""
    known = EmailAddress.objects.filter(user=pk, verified=True).annotate(low=Lower("email"))
    return Q(member=pk) | Q(email__in=known.values("low"))


in_order(2, PARTIES, ANSWERS, ASKED, INVITED, STOPPED, DOOR, GATES, HOSTING)
add(
    table(
        Registration,
        {
            KEY: "id",
            LINK: "event member moved_to",
            COUNT: "next_slot serial min_serial queued_at passed_over more gave_back version",
            PARTIES: "guest_email guest_name wanted language state party_size offer_expires_at turned_down_at still_coming_at"
            " created_at"
            " changed_at",
        },
        lambda pk: Registration.objects.filter(
            Q(member=pk) | Q(pk__in=Attendee.objects.filter(member=pk).values("registration"))
        ),
        {"event": "event__title", "starts_at": "event__starts_at"},
    ),
    table(
        Answers,
        {LINK: "registration", COUNT: "key", ANSWERS: "given agreed written_at"},
        lambda pk: Answers.objects.filter(registration__member=pk),
        {"event": "registration__event__title"},
        withheld="key",
    ),
    table(
        Attendee,
        {
            KEY: "id",
            LINK: "registration event member",
            COUNT: "slot is_live ticket_type",
            PARTIES: "name child age",
        },
        lambda pk: Attendee.objects.filter(Q(registration__member=pk) | Q(member=pk)),
        {"event": "event__title", "child": "child__nickname"},
    ),
    table(
        Scan,
        {
            KEY: "id digest undoes",
            LINK: "event gate registration by",
            COUNT: "order serial received_at is_suspect is_forced is_supervised",
            DOOR: "kind slots at is_refused reason",
        },
        lambda pk: Scan.objects.filter(Q(registration__member=pk) | Q(by=pk)),
        {"event": "event__title"},
    ),
    table(
        Gate,
        {KEY: "id digest", LINK: "event member", COUNT: "distrust_from", DOOR: "name paired_at closed_at"},
        lambda pk: Gate.objects.filter(member=pk),
        {"event": "event__title"},
    ),
    table(
        DoorHelper,
        {KEY: "id", LINK: "event member named_by", DOOR: "named_at"},
        lambda pk: DoorHelper.objects.filter(member=pk),
        {"event": "event__title"},
    ),
    table(
        GatePairing,
        {KEY: "id", LINK: "event made_by", GATES: "digest expires_at used_at"},
        lambda pk: GatePairing.objects.filter(made_by=pk),
        {"event": "event__title"},
        withheld="digest",
    ),
    table(
        Event,
        {
            KEY: "id",
            LINK: "centre circle place series room",
            COUNT: "version created_at updated_at sequence original_start uid_series recurrence_id is_changed fell_away",
            SHARED: f"{DETAILS} starts_at ends_at previous_start state cancel_reason note search",
            HOSTING: "host",
        },
        lambda pk: Event.objects.filter(host=pk),
        {"host": "host__display_name", "event": "title", "text": "description", "starts_at": "starts_at"},
    ),
    table(
        Series,
        {
            KEY: "id",
            LINK: "centre circle place cut_from",
            COUNT: "version created_at updated_at made_until ended_at",
            SHARED: f"{DETAILS} start_date start_time minutes rrule rdates exdates skip_holidays",
            HOSTING: "host",
        },
        lambda pk: Series.objects.filter(host=pk),
        {"host": "host__display_name", "meetup": "title", "text": "description"},
    ),
    table(
        CoHost,
        {KEY: "id", LINK: "event series member named_by", HOSTING: "named_at"},
        lambda pk: CoHost.objects.filter(member=pk),
        {"event": "event__title", "meetup": "series__title"},
    ),
    table(
        Inquiry,
        {
            KEY: "id",
            LINK: "event member answered_by",
            ASKED: "text language asked_at answer answer_language answered_at put_aside_at is_public",
        },
        lambda pk: Inquiry.objects.filter(member=pk),
        {"event": "event__title", "answered_by": "answered_by__display_name"},
    ),
    table(
        Invitation,
        {
            KEY: "id",
            LINK: "event member invited_by",
            COUNT: "mail_at",
            INVITED: "email name language via invited_at mailed_at again_at declined_at withdrawn_at",
        },
        lambda pk: Invitation.objects.filter(_reaches(pk)),
        {"event": "event__title", "invited_by": "invited_by__display_name"},
    ),
    table(
        InvitationStop,
        {KEY: "id", LINK: "centre member", STOPPED: "email since"},
        lambda pk: InvitationStop.objects.filter(_reaches(pk)),
        {"centre": "centre__name"},
    ),
    table(Event.partner_centres.through, {KEY: "id", LINK: "event centre"}),
    table(Event.interests.through, {KEY: "id", LINK: "event interest"}),
    table(Series.partner_centres.through, {KEY: "id", LINK: "series centre"}),
    table(Series.interests.through, {KEY: "id", LINK: "series interest"}),
    table(CalendarFeed, {LINK: "member", COUNT: "version"}),
    table(CallOff, {KEY: "id", LINK: "event", COUNT: "version until told_at undone_at"}),
    table(
        EndedParty,
        {
            KEY: "id",
            LINK: "call_off registration",
            COUNT: "version min_serial slots claims",
            PARTIES: "state",
        },
        lambda pk: EndedParty.objects.filter(registration__member=pk),
        {"event": "call_off__event__title"},
    ),
    table(
        PartnerCalendar,
        {
            KEY: "id",
            LINK: "centre",
            COUNT: "version etag last_modified is_on created_at read_at tried_at due_at failures error error_status",
            SHARED: "name language url content",
            HOSTING: "added_by",
        },
        lambda pk: PartnerCalendar.objects.filter(added_by=pk),
        {"added_by": "added_by__display_name", "calendar": "name"},
        withheld="content",
    ),
    table(
        PartnerDate,
        {KEY: "id", LINK: "calendar event", SHARED: "uid recurrence url said offer gone is_open"},
    ),
    table(Pool, {KEY: "id", LINK: "event", COUNT: "kind name capacity taken"}),
    table(Reminder, {KEY: "id", LINK: "registration", COUNT: "kind starts_at"}),
    table(Claim, {KEY: "id", LINK: "registration pool", COUNT: "n"}),
)

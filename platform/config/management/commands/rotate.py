"""manage.py rotate: new secrets for old ones. Without a word, which there are."""

from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from community import sign_ins
from community.models import Member
from config import rotation
from events import gates
from events.models import Event
from realtime import ids


class Command(BaseCommand):
    help = "Shows every secret of the house, or rotates one: the old one is understood until it is retired."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_subparsers(dest="which", title="secrets")
        key = which.add_parser("secret-key", help="signs sessions, cursors and links")
        key.add_argument("--retire", action="store_true", help="the older ones count no more")
        key.add_argument("--stolen", action="store_true", help="the old one counts no more from now on")
        tickets = which.add_parser("ticket-keys", help="sign tickets")
        tickets.add_argument("--retire", type=int, metavar="ID", help="this key verifies no more")
        tickets.add_argument(
            "--signed-until", metavar="DAY", help="when the next key began to sign: 2027-03-01"
        )
        tickets.add_argument(
            "--stolen", action="store_true", help="even while its tickets are in people's hands"
        )
        which.add_parser("backup-key", help="a new pair for backups")
        which.add_parser("metrics-token", help="opens /metrics")
        tokens = which.add_parser("api-tokens", help="revoke tokens of members' programs")
        of_whom = tokens.add_mutually_exclusive_group(required=True)
        of_whom.add_argument("--member", metavar="EMAIL")
        of_whom.add_argument("--all", action="store_true")
        doors = which.add_parser("gates", help="close the phones at doors")
        of_which = doors.add_mutually_exclusive_group(required=True)
        of_which.add_argument("--event", metavar="ID", help="as in its address")
        of_which.add_argument("--all", action="store_true")
        sessions = which.add_parser("sessions", help="one member signs in anew, or everybody")
        whose = sessions.add_mutually_exclusive_group(required=True)
        whose.add_argument("--member", metavar="EMAIL")
        whose.add_argument("--all", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        what: dict[str | None, Callable[[dict[str, Any]], list[str]]] = {
            None: lambda _options: rotation.overview(),
            "secret-key": self.secret_key,
            "ticket-keys": self.ticket_keys,
            "backup-key": lambda _options: rotation.rotate_backup_key(),
            "metrics-token": lambda _options: rotation.rotate_metrics_token(),
            "api-tokens": self.api_tokens,
            "gates": self.gates,
            "sessions": self.sessions,
        }
        try:
            lines = what[options["which"]](options)
        except (rotation.Refused, OSError) as wrong:
            raise CommandError(str(wrong)) from wrong
        self.stdout.write("\n".join(lines))

    def secret_key(self, options: dict[str, Any]) -> list[str]:
        if options["retire"]:
            return rotation.retire_secret_keys()
        return rotation.rotate_secret_key(is_stolen=options["stolen"])

    def ticket_keys(self, options: dict[str, Any]) -> list[str]:
        if options["retire"] is None:
            return rotation.rotate_ticket_keys()
        try:
            until = rotation.end_of(options["signed_until"]) if options["signed_until"] else None
        except ValueError as wrong:
            raise CommandError("--signed-until must read like 2027-03-01.") from wrong
        return rotation.retire_ticket_key(options["retire"], until, is_stolen=options["stolen"])

    def api_tokens(self, options: dict[str, Any]) -> list[str]:
        with_tokens = Member.objects.filter(tokens__revoked_at=None, tokens__isnull=False).distinct()
        of = [member_named(options["member"])] if options["member"] else list(with_tokens)
        ended = sum(sign_ins.revoke_tokens(member) for member in of)
        return [f"{ended} tokens revoked. Their owners make new ones."]

    def sessions(self, options: dict[str, Any]) -> list[str]:
        if not options["member"]:
            return [f"{rotation.end_sessions()} sessions ended."]
        member = member_named(options["member"])
        sign_ins.end_all(member, "operator")
        return [f"{member.email} signs in anew."]

    def gates(self, options: dict[str, Any]) -> list[str]:
        pk = None
        if options["event"]:
            try:
                pk = Event.objects.get(pk=ids.decode(options["event"])).pk
            except (ValueError, Event.DoesNotExist) as wrong:
                raise CommandError(f"There is no event {options['event']}.") from wrong
        return [f"{gates.close_all(pk)} phones closed. The host pairs them anew from the event's board."]


def member_named(email: str) -> Member:
    """The member with this address. Raises CommandError."""
    member = Member.objects.filter(email__iexact=email).first()
    if member is None:
        raise CommandError(f"There is no member {email}.")
    return member

from django.db import migrations, transaction
from django.db.models import Count

from realtime import clock


def open_rooms(apps, _editor):
    """A room for each household of two, a transaction each; run again, it goes on where it stopped."""
    HouseholdRoom = apps.get_model("community", "HouseholdRoom")
    HouseholdAdult = apps.get_model("community", "HouseholdAdult")
    Room, Entry, Participant = (apps.get_model("realtime", name) for name in ("Room", "Entry", "Participant"))
    homes = HouseholdAdult.objects.values("household").annotate(adults=Count("pk")).filter(adults=2)
    for home in homes.values_list("household", flat=True).iterator(chunk_size=500):
        with transaction.atomic():
            if HouseholdRoom.objects.filter(household=home).exists():
                continue
            people = HouseholdAdult.objects.filter(household=home).order_by("pk")
            members = [adult.member_id for adult in people[:2]]
            room = Room.objects.create(kind="household", title="household", link="/me/household/", head=2)
            HouseholdRoom.objects.create(household_id=home, room=room)
            for seq, member in enumerate(members, 1):
                given = {"room": room, "seq": seq, "n": 0, "rev": seq, "kind": "join", "author_id": member}
                Entry.objects.create(**given, at=clock.now())
                Participant.objects.create(room=room, member_id=member, joined_seq=seq, read_seq=seq)


class Migration(migrations.Migration):
    """Households that have been two for long have a room, too."""

    atomic = False
    dependencies = [("community", "0006_household_rooms"), ("realtime", "0006_people_of_rooms")]

    operations = [migrations.RunPython(open_rooms, migrations.RunPython.noop)]

from django.db import migrations

from community.places import load_interests, load_places


def load(apps, _editor):
    load_places(*(apps.get_model("community", name) for name in ("Place", "PlaceName", "Postcode")))
    load_interests(apps.get_model("community", "Interest"))


class Migration(migrations.Migration):
    """The towns and interests every installation knows."""

    downtime = "The tables it fills are new: nobody reads or writes them yet."
    dependencies = [("community", "0002_initial")]

    operations = [migrations.RunPython(load, migrations.RunPython.noop, elidable=False)]

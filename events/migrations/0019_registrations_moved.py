from django.db import migrations, models

from realtime.migrating import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("events", "0018_moved_to")]

    operations = [
        AddIndexOnline(
            model_name="registration",
            index=models.Index(
                condition=models.Q(("moved_to__isnull", False)),
                fields=["moved_to"],
                name="registrations_moved",
            ),
        ),
    ]

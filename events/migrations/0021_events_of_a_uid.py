from django.db import migrations, models

from realtime.migrating import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("events", "0020_recurrence_id")]

    operations = [
        AddIndexOnline(
            model_name="event",
            index=models.Index(
                condition=models.Q(("uid_series__isnull", False)),
                fields=["uid_series"],
                name="events_of_a_uid",
            ),
        ),
    ]

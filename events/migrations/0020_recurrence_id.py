from django.db import migrations, models


class Migration(migrations.Migration):
    """Dates made before keep the UID they were given: it stands in calendars and mails already."""

    dependencies = [("events", "0019_registrations_moved")]

    operations = [
        migrations.AddField(
            model_name="event",
            name="uid_series",
            field=models.BigIntegerField(
                blank=True,
                help_text="The series that made it, whose id is the UID of its entry in calendars. Empty: its own id is.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="event",
            name="recurrence_id",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="RFC 5545 §3.8.4.4, after the name: TZID=Europe/Brussels:20270601T190000. Never changes.",
                max_length=70,
            ),
        ),
    ]

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0017_inquiries")]

    operations = [
        migrations.AddField(
            model_name="registration",
            name="moved_to",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The registration that this party has on another date instead.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="events.registration",
            ),
        ),
    ]

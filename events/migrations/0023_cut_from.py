import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0022_put_aside")]

    operations = [
        migrations.AddField(
            model_name="series",
            name="cut_from",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="events.series",
            ),
        ),
        migrations.AddField(
            model_name="registration",
            name="gave_back",
            field=models.PositiveIntegerField(
                db_default=0, default=0, help_text="Places of the party that it gave back when it became smaller."
            ),
        ),
    ]

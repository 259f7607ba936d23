from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0021_events_of_a_uid")]

    operations = [
        migrations.AddField(
            model_name="inquiry",
            name="put_aside_at",
            field=models.DateTimeField(
                blank=True, help_text="Since when the host means to say nothing.", null=True
            ),
        ),
    ]

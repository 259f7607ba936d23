"""A mention keeps the name it was written with; how often somebody is named is counted from these rows, and the old
column is written by nobody any more."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("realtime", "0004_blocks_mentions")]

    operations = [
        migrations.AddField(
            "mention",
            "name",
            models.CharField(db_default="", help_text="As it stands behind the @ in the text.", max_length=60),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.AlterField("participant", "mentions", models.PositiveIntegerField(null=True)),
            ],
            state_operations=[migrations.RemoveField("participant", "mentions")],
        ),
    ]

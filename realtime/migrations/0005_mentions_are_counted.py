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
        migrations.AlterField(
            "entry",
            "kind",
            models.CharField(
                choices=[
                    ("message", "Message"),
                    ("edit", "Edit"),
                    ("delete", "Delete"),
                    ("reaction", "Reaction"),
                    ("join", "Join"),
                    ("leave", "Leave"),
                    ("forget", "Forget"),
                    ("sign_out", "Sign Out"),
                    ("suspend", "Suspend"),
                    ("block", "Block"),
                    ("show", "Show"),
                ],
                max_length=10,
            ),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.AlterField("participant", "mentions", models.PositiveIntegerField(null=True)),
            ],
            state_operations=[migrations.RemoveField("participant", "mentions")],
        ),
    ]

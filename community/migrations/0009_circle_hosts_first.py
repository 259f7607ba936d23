from django.db import migrations, models

from realtime.migrating import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("community", "0008_channels")]

    operations = [
        AddIndexOnline(
            model_name="circlemembership",
            index=models.Index(
                fields=["circle", "state", "-is_host", "since", "id"], name="circle_hosts_first"
            ),
        ),
    ]

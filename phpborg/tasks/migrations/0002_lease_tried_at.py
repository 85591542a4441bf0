from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tasks", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="lease",
            name="tried_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]

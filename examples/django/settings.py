"""The settings of a small Django project, run from this folder.

pip install django gunicorn
export DJANGO_SETTINGS_MODULE=settings SECRET_KEY=... STOQ_SHOP=demo
python -m django migrate --run-syncdb
gunicorn --workers 2 'django.core.wsgi:get_wsgi_application()'
"""

import os
from pathlib import Path

FOLDER = Path(os.environ.get("FOLDER", "."))
SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "shop.sqlite"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["waitlist"]
TIME_ZONE = "UTC"
ROOT_URLCONF = "waitlist.urls"
# All processes of this machine share one shop's rate limit.
STOQ_BUDGET = FOLDER / "budget.sqlite"

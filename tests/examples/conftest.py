"""What the recipes find around them: a shop on the sandbox, and a Django project."""

from collections.abc import Iterator

import django
import pytest
from django.core.management import call_command
from recipes import EXAMPLES

from stoqapp_sandbox import Sandbox


@pytest.fixture(autouse=True)
def shop(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """A shop on the sandbox, in the environment."""
    monkeypatch.setenv("STOQ_SHOP", "demo")
    monkeypatch.setenv("STOQ_BASE_URL", sandbox.base_url)


@pytest.fixture(scope="session", autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The Django project, set up once, and the environment that it was set up in."""
    environment = {
        "DJANGO_SETTINGS_MODULE": "settings",
        "SECRET_KEY": "secret",
        "FOLDER": str(tmp_path_factory.mktemp("django")),
    }
    with pytest.MonkeyPatch.context() as kept, pytest.MonkeyPatch.context() as patch:
        kept.syspath_prepend(EXAMPLES / "django")
        for name, value in environment.items():
            patch.setenv(name, value)
        django.setup()
        patch.undo()
        call_command("migrate", run_syncdb=True, verbosity=0)
        yield environment

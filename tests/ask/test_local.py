from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from epistem.ask.local import LocalChat
from epistem.core.errors import SettingsError
from tests.nets.tiny_language import write_language

pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_model_of_a_folder_answers_a_conversation(tmp_path):
    model = LocalChat(str(write_language(tmp_path / "tiny")), longest=5)
    said = model([{"role": "user", "content": "what is shown ?"}])
    assert isinstance(said, str)
    assert model([{"role": "user", "content": "what is shown ?"}]) == said
    assert model.name == "local:tiny"


def test_a_picture_is_refused():
    with pytest.raises(SettingsError, match="reads text only"):
        LocalChat()([{"role": "user", "content": [{"type": "text", "text": "what?"}]}])

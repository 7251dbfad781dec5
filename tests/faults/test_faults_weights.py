"""Weights and arrays from somebody else: no code in them is run, and a damaged one is told."""

from __future__ import annotations

import ast
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from course_utils import cascade, generators, lessons
from course_utils.errors import DataError
from course_utils.training import Checkpoint

ROOT = Path(__file__).resolve().parents[2]


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, witness: Path):
        self.witness = witness

    def __reduce__(self):
        return Path.touch, (self.witness,)


@pytest.fixture
def witness(tmp_path):
    """A file that must not be there after the test; the payload is shown to work first."""
    path = tmp_path / "code-was-run"
    pickle.loads(pickle.dumps(Harmful(path)))
    assert path.exists()
    path.unlink()
    yield path
    assert not path.exists(), "code in a file of weights was run"


# --- what the code says ---------------------------------------------------------------------------


def python_sources() -> dict[str, str]:
    """Return every piece of Python that is delivered, by name."""
    files = [*(ROOT / "course_utils").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    found = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}
    for lesson in lessons.table():
        notebook = json.loads((ROOT / "notebooks" / f"{lesson}.ipynb").read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                found[f"{lesson}, {cell['id']}"] = "".join(cell["source"])
    return found


FORBIDDEN = (
    "pickle.load", "marshal.load", "joblib.load", "dill.load", "read_pickle", "yaml.load",
    "yaml.unsafe_load", "enable_unsafe_deserialization",
)  # fmt: skip


def unsafe_calls(source: str) -> list[str]:
    """Return the calls that would run code from a file."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [ast.unparse(call) for call in calls if is_unsafe(call)]


def is_unsafe(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    given = {word.arg: ast.unparse(word.value) for word in call.keywords}
    if name == "torch.load" and given.get("weights_only") != "True":
        return True
    if "allow_pickle" in given or given.get("safe_mode", "True") != "True":
        return True
    return name.removesuffix("s").endswith(FORBIDDEN)


@pytest.mark.parametrize(
    "line",
    [
        "np.load(f, allow_pickle=True)", "torch.load(f)", "torch.load(f, weights_only=False)",
        "pickle.loads(b)", "pd.read_pickle(f)", "load_model(f, safe_mode=False)", "yaml.load(f)",
        "keras.config.enable_unsafe_deserialization()",
    ],
)  # fmt: skip
def test_the_search_for_unsafe_calls_finds_them(line):
    assert unsafe_calls(line)


def test_nothing_here_opens_a_file_in_a_way_that_runs_its_code():
    found = {name: unsafe_calls(source) for name, source in python_sources().items()}
    assert len(found) > 100
    assert not {name: calls for name, calls in found.items() if calls}


# --- arrays ---------------------------------------------------------------------------------------


class Variable:
    """Enough of a Keras variable for a checkpoint."""

    def __init__(self, value):
        self.value, self.shape = np.asarray(value, float), np.shape(value)

    def assign(self, value):
        self.value = np.asarray(value)


class Model:
    """Enough of a Keras model for a checkpoint: one weight, and an optimizer with one number."""

    def __init__(self):
        self.weights = self.variables = [Variable([1.0, 2.0])]
        self.optimizer = self
        self.trainable_variables = []

    def build(self, variables):
        pass


def checkpoint(folder: Path, content: bytes) -> tuple[Model, Checkpoint]:
    """Write a state of three epochs with the given arrays, and begin to train on."""
    model = Model()
    again = Checkpoint(model, folder, "loss")
    state = again.state | {"epoch": 3, "best_epoch": 3, "best": 0.5}
    folder.mkdir(exist_ok=True)
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "epoch-0003.npz").write_bytes(content)
    again.begin()
    return model, again


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_a_whole_checkpoint_is_continued(tmp_path):
    model, again = checkpoint(tmp_path / "c", npz(model_0=[7.0, 8.0], optimizer_0=[0.0, 0.0]))
    assert again.state["epoch"] == 3
    assert model.variables[0].value.tolist() == [0.0, 0.0]  # weight and optimizer are one here


def test_an_array_with_code_is_not_loaded(tmp_path, witness):
    bad = np.array([Harmful(witness)], dtype=object)
    _, again = checkpoint(tmp_path / "c", npz(model_0=bad, optimizer_0=bad))
    assert again.state["epoch"] == 0


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "no arrays"])
def test_a_damaged_checkpoint_starts_afresh(tmp_path, damage):
    whole = npz(model_0=np.zeros(500), optimizer_0=np.zeros(500))
    flipped = bytearray(whole)
    flipped[1000] ^= 1
    broken = {"cut": whole[:-90], "flipped": bytes(flipped), "empty": b"", "text": b"x" * 99,
              "no arrays": npz()}[damage]  # fmt: skip
    model, again = checkpoint(tmp_path / "c", broken)
    assert again.state["epoch"] == 0 and model.variables[0].value.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("state", ["", "[]", "{}", "null", '{"epoch": [3]}', "\x00", '{"key": 1}'])
def test_a_damaged_state_starts_afresh(tmp_path, state):
    (tmp_path / "state.json").write_text(state)
    again = Checkpoint(Model(), tmp_path, "loss")
    again.begin()
    assert again.state["epoch"] == 0


def test_packed_arrays_hold_no_objects(tmp_path, witness):
    cases = [np.array([Harmful(witness)], dtype=object)]
    with pytest.raises(DataError, match="numbers"):
        generators.pack(cases, lambda case: {"image": case}, tmp_path / "packed", progress=False)
    assert not (tmp_path / "packed").exists()


# --- PyTorch --------------------------------------------------------------------------------------


def test_a_pt_with_code_is_not_loaded(tmp_path, witness):
    torch = pytest.importorskip("torch")
    from course_utils import torch_training

    torch.save({"key": Harmful(witness)}, tmp_path / torch_training.LAST)
    saved = torch_training.TorchCheckpoint(tmp_path, {"network": torch.nn.Linear(1, 1)})
    assert saved.epoch == 0


@pytest.mark.parametrize(
    "damage", ["cut", "flipped", "flipped weight", "empty", "a list", "a number"]
)
def test_a_damaged_pt_starts_afresh(tmp_path, damage):
    torch = pytest.importorskip("torch")
    from course_utils import torch_training

    last = tmp_path / torch_training.LAST
    saved = torch_training.TorchCheckpoint(tmp_path, {"network": torch.nn.Linear(8, 8)}, "loss")
    saved.end_epoch({"loss": 1.0})
    whole = last.read_bytes()
    if damage.startswith("flipped"):
        content = "data.pkl" if damage == "flipped" else "/data/0"
        with zipfile.ZipFile(last) as file:
            name = next(name for name in file.namelist() if name.endswith(content))
            at = whole.index(file.read(name))
        last.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
    elif damage in ("cut", "empty"):
        last.write_bytes(whole[: len(whole) // 2 if damage == "cut" else 0])
    else:
        torch.save([1] if damage == "a list" else 3, last)
    again = torch_training.TorchCheckpoint(tmp_path, {"network": torch.nn.Linear(8, 8)}, "loss")
    assert again.epoch == 0


# --- Keras ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Path:
    """A classifier as lesson 1 writes it."""
    keras = pytest.importorskip("keras")
    pixels = keras.Input((cascade.SIDE, cascade.SIDE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(pixels)
    model = keras.Model(pixels, keras.layers.Dense(1, activation="sigmoid")(pooled))
    path = tmp_path_factory.mktemp("model") / cascade.MODEL
    model.save(path)
    return path


def rewritten(path: Path, target: Path, change) -> Path:
    """Copy a .keras with a changed configuration."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as made:
        for name in source.namelist():
            content = source.read(name)
            made.writestr(name, change(content) if name == "config.json" else content)
    return target


def test_an_honest_model_is_loaded(honest):
    model, threshold = cascade.load_classifier(honest)
    assert model.output_shape == (None, 1) and threshold == 0.5


def lambda_layer(witness: Path):
    """Return a change of the configuration that puts code into it, as ``layers.Lambda`` does."""
    import keras

    layer = keras.layers.Lambda(lambda x, at=str(witness): (__import__("os").mknod(at), x)[1])

    def change(content: bytes) -> bytes:
        config = json.loads(content)
        code = keras.saving.serialize_keras_object(layer)
        config["config"]["layers"][1] |= {key: code[key] for key in ("class_name", "config")}
        return json.dumps(config).encode()

    return change


def system_call(witness: Path):
    """Return a change that names a function of the system as an activation."""

    def change(content: bytes) -> bytes:
        config = json.loads(content)
        call = {"module": "os", "class_name": "function", "config": "system"}
        config["config"]["layers"][-1]["config"]["activation"] = call | {
            "registered_name": "system"
        }
        return json.dumps(config).encode()

    return change


def builtin_class(witness: Path):
    """Return a change that names ``builtins.exec`` as the class of the model."""
    named = {"module": "builtins", "class_name": "exec", "registered_name": None}
    code = {"config": {"source": f"open({str(witness)!r}, 'w')"}}
    return lambda content: json.dumps(json.loads(content) | named | code).encode()


@pytest.mark.parametrize("attack", [lambda_layer, system_call, builtin_class])
def test_a_keras_file_with_code_is_refused(tmp_path, witness, honest, attack):
    bad = rewritten(honest, tmp_path / "bad.keras", attack(witness))
    with pytest.raises(DataError, match="expected a Keras model") as caught:
        cascade.load_classifier(bad)
    assert str(bad) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "no weights"])
def test_a_damaged_keras_file_is_refused(tmp_path, honest, damage):
    bad = tmp_path / "bad.keras"
    if damage == "no weights":
        with zipfile.ZipFile(honest) as source, zipfile.ZipFile(bad, "w") as made:
            for name in ("config.json", "metadata.json"):
                made.writestr(name, source.read(name))
    else:
        whole = honest.read_bytes()
        bad.write_bytes({"cut": whole[:-500], "text": b"<html>", "empty": b""}[damage])
    with pytest.raises(DataError, match="expected a Keras model") as caught:
        cascade.load_classifier(bad)
    assert str(bad) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model.pkl", "model"])
def test_a_format_that_runs_code_is_refused_by_its_name(tmp_path, honest, name):
    (tmp_path / name).write_bytes(honest.read_bytes())
    with pytest.raises(DataError, match=r"a \.keras file"):
        cascade.load_classifier(tmp_path / name)

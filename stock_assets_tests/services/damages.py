"""What can be damaged in a checkout's state, and how: one thing, by the damage's number alone."""

import random
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore

from stock_assets.resources.object_store import ObjectStore

WAYS = ("delete", "cut", "flip", "swap", "empty", "make_unreadable")
# Objects of the store, by asset; MLflow's artifacts lie beside them.
OBJECTS = (
    "models",
    "raw_prices", "features", "train_set", "test_set", "tuned_model", "registered_version",
    "daily_forecast", "forecast_rmse", "mlflow",
)  # fmt: skip
# Of MLflow's artifacts those that forecasts and later trainings read.
_MODEL_FILES = ("model.skops", "intervals.json", "study.json")
# Files under var/: patterns of those that are one kind of thing.
FILES = {
    "mlflow_database": ["mlflow/*"],
    "dagster_database": ["dagster/storage/**/*.db"],
    "dagster_logs": ["dagster/compute_logs/**/*"],
    "search_journal": ["studies/*"],
    "read_cache": ["read_cache/**/*"],
    "volume": ["store/data/*.dat", "store/data/*.idx", "store/data/*.vif"],
    "directory_of_objects": ["store/data/filerldb2/**/*"],
    "store_state": ["store/data/**/*"],
    "store_access": ["store/*"],
    "store_logs": ["store/logs/*"],
    "locks": ["*", "commands/*"],
    "anything": ["**/*"],
}
FOLDER = "folder"
# Twice where there is more to go wrong.
PLACES = (
    *OBJECTS,
    "models",
    "raw_prices",
    "features",
    "daily_forecast",
    *FILES,
    "read_cache",
    "volume",
    "store_access",
    "mlflow_database",
    "dagster_database",
    FOLDER,
    FOLDER,
)


@dataclass(frozen=True)
class Damage:
    """One thing that happens to a checkout at rest.

    Args:
        number: Seeds all that is drawn.
        place: Of OBJECTS, FILES or FOLDER.
        way: Of WAYS.
    """

    number: int
    place: str
    way: str

    @property
    def goes_on(self) -> bool:
        """Whether the run after it asks for more than is there: else little would be read."""
        return self.number % 4 == 0 or self.place in ("models", "read_cache", "search_journal")

    @property
    def in_the_store(self) -> bool:
        """Whether it is done through S3, to an object, rather than to a file."""
        return self.place in OBJECTS

    def __str__(self) -> str:
        return f"{self.number:03}-{self.place}-{self.way}"

    @property
    def rng(self) -> random.Random:
        return random.Random(f"damage {self.number}")


NOTHING = Damage(-1, "anything", "nothing")


def damage(number: int) -> Damage:
    drawn = random.Random(number)
    return Damage(number, drawn.choice(PLACES), drawn.choice(WAYS))


def damage_file(home: Path, wanted: Damage) -> str:
    """Damages a file or folder under var/; what was done, in words."""
    if wanted == NOTHING:
        return "nothing"
    state, rng = home / "var", wanted.rng
    if wanted.place == FOLDER:
        things = sorted(path for path in state.rglob("*") if path.is_dir())
    else:
        patterns = FILES[wanted.place]
        things = sorted({p for one in patterns for p in state.glob(one) if p.is_file()})
    if wanted.way in ("cut", "flip"):
        things = [thing for thing in things if thing.is_dir() or thing.stat().st_size] or things
    thing = rng.choice(things)
    alike = [other for other in things if other != thing]
    others = alike or sorted(p for p in state.rglob("*") if p.is_file() and p != thing)
    if thing.is_dir():
        apart = [o for o in others if thing not in o.parents and o not in thing.parents]
        return _damage_folder(thing, rng.choice(apart or [thing]), wanted.way, state)
    return _damage_one_file(thing, rng.choice(others), wanted.way, rng, state)


def _damage_one_file(file: Path, other: Path, way: str, rng: random.Random, state: Path) -> str:
    name = file.relative_to(state)
    if way == "delete":
        file.unlink()
    elif way == "make_unreadable":
        file.chmod(0)
    elif way == "swap":
        one, two = file.read_bytes(), other.read_bytes()
        file.write_bytes(two)
        other.write_bytes(one)
        return f"swapped var/{name} and var/{other.relative_to(state)}"
    else:
        content, what = _damaged(file.read_bytes(), way, rng)
        file.write_bytes(content)
        return f"{what} var/{name}"
    return f"{way} var/{name}"


def _damage_folder(folder: Path, other: Path, way: str, state: Path) -> str:
    """A folder is cut by the loss of half of what it holds, and flipped into a file."""
    name = folder.relative_to(state)
    held = sorted(folder.iterdir())
    if way == "make_unreadable":
        folder.chmod(0)
    elif way == "swap":
        aside = state / "aside"
        folder.rename(aside)
        other.rename(folder)
        aside.rename(other)
        return f"swapped folders var/{name} and var/{other.relative_to(state)}"
    else:
        gone = {"delete": held, "empty": held, "flip": held, "cut": held[len(held) // 2 :]}[way]
        for path in gone:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if way in ("delete", "flip"):
            folder.rmdir()
        if way == "flip":
            folder.write_bytes(b"no folder")
    return f"{way} folder var/{name}"


def damage_object(store: ObjectStore, wanted: Damage) -> str:
    """Damages an object through S3; its metadata stay what they were. What was done, in words."""
    rng = wanted.rng
    if wanted.place == "models":
        keys = [key for key in store.keys("mlflow") if Path(key).name in _MODEL_FILES]
    else:
        keys = store.keys(wanted.place)
    key = rng.choice(keys)
    if wanted.way == "delete":
        store.delete([key])
        return f"delete object {key}"
    content, attributes = _whole(store, key)
    if wanted.way == "swap":
        alike = [k for k in keys if k != key and Path(k).name == Path(key).name]
        other = rng.choice(alike or [k for k in keys if k != key])
        others, other_attributes = _whole(store, other)
        _put(store, key, others, other_attributes)
        _put(store, other, content, attributes)
        return f"swapped objects {key} and {other}"
    if wanted.way == "make_unreadable":
        _put(store, key, rng.randbytes(len(content)), attributes)
        return f"random bytes in object {key}"
    damaged, what = _damaged(content, wanted.way, rng)
    _put(store, key, damaged, attributes)
    return f"{what} object {key}"


def _whole(store: ObjectStore, key: str) -> tuple[bytes, Any]:
    answer = obstore.get(store._store, key)
    return bytes(answer.bytes()), answer.attributes


def _put(store: ObjectStore, key: str, content: bytes, attributes: Any) -> None:
    obstore.put(store._store, key, content, attributes=attributes)


def _damaged(content: bytes, way: str, rng: random.Random) -> tuple[bytes, str]:
    if way == "empty" or not content:
        return b"", "empty"
    if way == "cut":
        length = rng.randrange(1, len(content)) if len(content) > 1 else 0
        return content[:length], f"cut to {length} of {len(content)} bytes:"
    position, bit = rng.randrange(len(content)), rng.randrange(8)
    flipped = bytearray(content)
    flipped[position] ^= 1 << bit
    return bytes(flipped), f"flipped bit {bit} of byte {position} of {len(content)}:"


def make_readable(home: Path) -> None:
    """Lets the owner delete what `make_unreadable` left."""
    for path in (home, *home.rglob("*")):
        if not path.is_symlink() and not path.stat().st_mode & stat.S_IWUSR:
            path.chmod(stat.S_IRWXU)

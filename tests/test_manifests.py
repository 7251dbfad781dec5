"""The manifests are valid; a mistake in one is a single line with file, line and field."""

from __future__ import annotations

import pytest
import yaml

from course_utils import manifests
from course_utils.errors import DataError, ManifestError

NAMES = [
    "bbbc038",
    "dsb2018_fixes",
    "isic2017",
    "isic2018",
    "lgg_mri",
    "malf",
    "mosmed",
    "oasis1_disc1",
]

GOOD = """\
name: toy
title: A made-up dataset
homepage: https://example.org/toy
licence:
  name: CC0
  url: https://example.org/cc0
  forbids: []
citation: Nobody (2020)
archives:
  - file: toy.zip
    urls: [https://example.org/toy.zip]
    checksum: record at first download
    unpack: zip
    unpacked_bytes_max: 1000
layout:
  - {glob: "*.bin", what: files}
cases: {release: 3, unit: case, groups: case, glob: "*.bin"}
labels: {0: nothing}
traps: []
twin: toy
lessons: [05_unet_nuclei]
"""


def test_every_dataset_of_the_course_has_a_manifest():
    assert manifests.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_is_valid_and_every_address_is_https(name):
    manifest = manifests.load(name)
    addresses = [manifest.homepage, manifest.licence.url]
    addresses += [url for archive in manifest.archives for url in archive.urls]
    assert all(address.startswith("https://") for address in addresses)
    assert manifest.traps
    assert manifest.labels
    assert manifest.kaggle or all(archive.urls for archive in manifest.archives)


@pytest.mark.parametrize("name", NAMES)
def test_a_case_glob_is_counted_in_the_layout(name):
    """The whole number of cases agrees with the counts of the files that are cases."""
    manifest = manifests.load(name)
    counts = {part.glob: part.count for part in manifest.layout}
    whole = counts.get(manifest.cases.glob)
    images = sum(part.count for part in manifest.layout if _holds_cases(manifest, part))
    assert (whole or images) == manifest.cases.release


def _holds_cases(manifest: manifests.Manifest, part: manifests.Layout) -> bool:
    """Tell a part of the cases, such as the training images, by its file ending."""
    return part.glob.rsplit(".", 1)[-1] == manifest.cases.glob.rsplit(".", 1)[-1]


def test_every_lesson_has_a_dataset():
    lessons = {lesson for name in NAMES for lesson in manifests.load(name).lessons}
    assert {lesson[:2] for lesson in lessons} == {"01", "02", "03", "04", "05", "06"}


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(DataError, match="no dataset 'bbbc38': did you mean 'bbbc038'"):
        manifests.load("bbbc38")
    with pytest.raises(DataError, match="choose one of bbbc038, "):
        manifests.load("qqqq")


def read(tmp_path, text: str):
    path = tmp_path / "toy.yml"
    path.write_text(text, encoding="utf-8")
    return manifests.read(path)


def test_the_good_example_is_read(tmp_path):
    assert read(tmp_path, GOOD).cases.release == 3


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("title: A made-up dataset\n", "", 1, "field title: is required and is not there"),
        ("twin: toy", "twin: toy\ncolour: red", 21, "field colour: is not a field"),
        ("title: A made-up dataset", "title: 7", 2, "field title: Input should be a valid string"),
        ("title: A made-up dataset", "title: ' '", 2, "field title: String should have at least"),
        ("name: toy", "name: tow", 1, "field name: must be the file's name 'toy', found 'tow'"),
        ("https://example.org/toy.zip", "http://example.org", 11, "field archives.0.urls.0: must"),
        ("[https://example.org/toy.zip]", "[]", 1, "toy.zip needs a url, or the dataset a kaggle"),
        ("record at first download", "md5:12", 12, "field archives.0.checksum: must be 'sha256:'"),
        ("file: toy.zip", "file: ../toy.zip", 10, "field archives.0.file: must be a plain file"),
        ("unpack: zip", "unpack: rar", 13, "field archives.0.unpack: Input should be 'zip' or"),
        ("_max: 1000", "_max: 0", 14, "field archives.0.unpacked_bytes_max: Input should be gre"),
        ("_max: 1000", "_max: '1000'", 14, "field archives.0.unpacked_bytes_max: Input should be"),
        ('{glob: "*.bin", what', '{glob: "../*", what', 16, "field layout.0.glob: must lie inside"),
        ("release: 3", "release: three", 17, "field cases.release: Input should be a valid int"),
        ("{0: nothing}", "{zero: nothing}", 18, "field labels.zero"),
        ("traps: []", "traps: []\ntraps: [a]", 20, "field traps: is there twice"),
        ("  url: https", "  url: a\n  url: https", 7, "field licence.url: is there twice"),
    ],
)
def test_a_mistake_is_one_line_with_file_line_and_field(tmp_path, old, new, line, message):
    assert old in GOOD
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'toy.yml'}, line {line}, ")
    assert message in text
    assert "\n" not in text


def test_several_mistakes_name_the_first_and_count_the_rest(tmp_path):
    broken = GOOD.replace("title: A made-up dataset", "title: 7").replace("3", "three")
    with pytest.raises(ManifestError, match=r"line 2, field title: .* \(and 1 more\)$"):
        read(tmp_path, broken)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected 'field: value' lines, found none"),
        ("- a\n- b\n", "line 1: expected 'field: value' lines, found none"),
        ("name: toy\ntitle: [a\n", "line 3: is not valid YAML"),
        ("name: toy\n\ttitle: a\n", "line 2: is not valid YAML"),
        ("name: !!python/object:os.system a\n", "line 1: is not valid YAML"),
    ],
)
def test_what_is_no_manifest_at_all_is_one_line(tmp_path, text, message):
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(ManifestError, match="cannot be read"):
        manifests.read(tmp_path / "absent.yml")
    (tmp_path / "toy.yml").write_bytes(b"name: \xff")
    with pytest.raises(ManifestError, match="is not UTF-8"):
        manifests.read(tmp_path / "toy.yml")


def test_the_good_example_has_every_required_field():
    required = {
        name for name, field in manifests.Manifest.model_fields.items() if field.is_required()
    }
    assert set(yaml.safe_load(GOOD)) == required

"""Faults in a folder of one's own: each is one error with file, line and what to do."""

import io
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from own_folder import FACES, HEADER, HEIGHT, WIDTH, make, photo, rows, write
from PIL import Image

from dclib import data, paths
from dclib.errors import DataError
from dclib.training.judging import face_sizes


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    return make(tmp_path, monkeypatch)


def change(line: int, **cells: str):
    """Alter the cells of a row, counted as lines of the file are."""

    def damage(own: Path) -> None:
        lines = rows()
        lines[line - 2] |= cells
        write(own, lines)

    return damage


def column(name: str, value=lambda at: ""):
    def damage(own: Path) -> None:
        write(own, [row | {name: value(at)} for at, row in enumerate(rows())])

    return damage


def without(*names: str):
    def damage(own: Path) -> None:
        kept = [name for name in HEADER if name not in names]
        write(own, [{name: row[name] for name in kept} for row in rows()])

    return damage


def text(old: str, new: str):
    def damage(own: Path) -> None:
        table = (own / "table.csv").read_text()
        assert old in table
        (own / "table.csv").write_text(table.replace(old, new, 1))

    return damage


def told(content: str):
    return lambda own: (own / "about.toml").write_text(content)


def points(of):
    """Alter x and y of every point."""

    def damage(own: Path) -> None:
        lines = rows()
        for row in lines:
            for n in "123":
                row[f"x{n}"], row[f"y{n}"] = of(float(row[f"x{n}"]), float(row[f"y{n}"]))
        write(own, lines)

    return damage


def about_as(own: Path, make) -> None:
    (own / "about.toml").unlink()
    make(own / "about.toml")


def pipe(own: Path) -> None:
    (own / "photos/03.png").unlink()
    os.mkfifo(own / "photos/03.png")


def cut_short(own: Path) -> None:
    content = io.BytesIO()
    Image.effect_noise((WIDTH, HEIGHT), 90).save(content, "png")
    (own / "photos/03.png").write_bytes(content.getvalue()[:-400])


def deep(own: Path) -> None:
    Image.fromarray(np.full((30, 40), 40_000, dtype=np.uint16)).save(own / "photos/03.png")


SPLIT = {at: "test" if at in (3, 4) else "train" for at in range(FACES)}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda own: (own / "table.csv").unlink(), r"table\.csv: there is no such file"),
        (lambda own: (own / "table.csv").write_bytes(b"file,\xff"), r"table\.csv: .* UTF-8"),
        (lambda own: (own / "table.csv").write_text("file,a\n"), "no row below the names"),
        (text("file,", "photo,"), r"csv:1: there is no column named file"),
        (text(",smile", ","), r"csv:1: column 8 has no name"),
        (text(",side", ",smile"), r"csv:1: a column is there twice: \['smile'\]"),
        (text(",no,", ",no,,"), r"csv:2: 11 cells for 10 columns"),
        (text(",no,", ',"no,'), r"csv:\d+: .*save the table as CSV"),
        (without("y3"), r"csv:1: the points must be x1, y1, x2, y2 and so on, not .*x3"),
        (without(*HEADER[1:]), r"csv:1: there is nothing to learn"),
        (column("landmarks", str), r"csv:1: column 'landmarks': its name is taken"),
        (column("roll", str), r"csv:1: column 'roll': its name is taken|column 'roll_deg': its"),
        (
            lambda own: (own / "photos/03.png").unlink(),
            r"csv:5: .*photos/03\.png: there is no such file",
        ),
        (cut_short, r"csv:5: photos/03\.png is no readable photo"),
        (deep, r"csv:5: photos/03\.png is no .*8 bits per channel"),
        (change(7, x2="2_2"), r"csv:7: '2_2' in column x2 is no number"),
        (lambda own: (own / "photos/03.png").write_text("<svg/>"), r"csv:5: .*of no format that P"),
        (change(7, x2="1o"), r"csv:7: '1o' in column x2 is no number"),
        (change(7, x2="12,5"), r"csv:7: '12,5' in column x2 is no number: write it like 12\.5"),
        (change(7, roll_deg="inf"), r"csv:7: 'inf' in column roll_deg is no number"),
        (change(7, x2=""), r"csv:7: of x2, y2 some are empty"),
        (change(7, file="photos/00.png"), r"csv:7: photos/00\.png was already given in line 2"),
        (change(7, file="photos/./00.png"), r"csv:7: photos/00\.png was already given in line 2"),
        (change(7, file="../00.png"), r"csv:7: the path '\.\./00\.png' leads out of the folder"),
        (change(7, file="/photos/00.png"), r"csv:7: the path .* leads out of the folder"),
        (change(7, file="C:\\00.png"), r"csv:7: the path .* leads out of the folder"),
        (change(7, file="..\\\\00.png"), r"csv:7: the path .* leads out of the folder"),
        (change(7, file="a\nb.png"), r"csv:\d+: the path 'a\\nb\.png' has a line break"),
        (change(7, file="photos"), r"csv:7: .*photos: cannot be read \(a folder\)"),
        (pipe, r"csv:5: .*photos/03\.png: cannot be read \(a pipe or device"),
        (change(7, roll_deg="1e300"), r"csv:7: 1e300 in column roll_deg is no angle in deg"),
        (column("mood", lambda at: ("good", "NaN")[at % 2]), r"csv:3: 'NaN' in column mood: leave"),
        (
            change(7, x1="22.001", y1="10.5", x2="22"),
            r"csv:7: points 1 and 2, the eyes, lie 0\.001",
        ),
        (
            points(lambda x, y: (f"{x / WIDTH}", f"{y / HEIGHT}")),
            r"every point lies in the first pixel of its photo: write pixels",
        ),
        (
            points(lambda x, y: (f"{12 + x / WIDTH:.3f}", f"{9 + y / HEIGHT:.3f}")),
            r"on every face the points lie within a pixel",
        ),
        (change(7, file=""), r"csv:7: the cell in column file is empty"),
        (change(7, x1="40.5"), r"csv:7: point 1 lies outside the central square .*40 x 30"),
        (change(7, y3="-1"), r"csv:7: point 3 lies outside"),
        (column("mood", lambda at: "good"), r"csv:1: column mood needs two values"),
        (column("mood"), r"csv:1: column mood needs two values"),
        (column("name", lambda at: f"n{at}"), r"column name has 20 values on 20 faces .* no label"),
        (column("yaw_deg"), r"csv:1: column yaw_deg is empty"),
        (column("left", str), r"csv:1: of left, top, right, bottom there is only left"),
        (column("split", lambda at: "val"), r"csv:2: 'val' in column split is neither train nor"),
        (column("split", lambda at: "train"), r"20 training and 0 test faces in 20 groups"),
        (column("group", lambda at: "one"), r"20 training and 0 test faces in 1 groups: all ph"),
        (told("eyes = [1, 2]\nrolled"), r"about\.toml: cannot be read .*; mend or remove it"),
        (lambda own: about_as(own, os.mkfifo), r"about\.toml: cannot be read \(a pipe or device"),
        (lambda own: about_as(own, os.mkdir), r"about\.toml: cannot be read \(a folder\)"),
        (told("eye = [1, 2]"), r"about\.toml: eye means nothing here; known are tasks, eyes"),
        (told("eyes = [0, 1]"), r"about\.toml: 0 in eyes is none of 1, 2, 3; mend"),
        (told("eyes = [1, 1]"), r"about\.toml: eyes names something twice"),
        (told("eyes = 1"), r"about\.toml: eyes does not hold pairs"),
        (
            told('tasks = ["yaw"]'),
            r"about\.toml: tasks: there is no yaw; there are landmarks, smile",
        ),
        (told('tasks = "smile"'), r"about\.toml: tasks is no list of words"),
        (told('rolled = ["smile"]'), r"about\.toml: smile is no angle; there are roll; mend"),
        (told("mirror = true"), r"about\.toml: mirror is no table"),
        (
            told("[mirror]\npoints = [[1, 9]]"),
            r"about\.toml: 9 in mirror\.points is none of 1, 2, 3",
        ),
        (told("[mirror]\nswap = [[1, 2]]"), r"mirror\.swap means nothing here"),
        (
            told('[mirror.classes]\nside = [["left", "rihgt"]]'),
            r"rihgt in mirror\.classes\.side is none of front, left, right",
        ),
        (
            told('[classes]\nsmile = ["yes", "on"]'),
            r"csv:2: 'no' in column smile is none of yes, on",
        ),
        (told('[classes]\nsmlie = ["yes"]'), r"about\.toml: classes: smlie is no label"),
    ],
)
def test_faults_are_named_by_file_and_line(own, damage, message):
    damage(own)
    with pytest.raises(DataError, match=message) as fault:
        data.prepare("mine", own)
    assert "\n" not in str(fault.value)
    assert not (paths.data() / "mine").exists()


def test_halves_that_leak_are_refused(own):
    lines = [row | {"split": SPLIT[at], "group": f"g{at}"} for at, row in enumerate(rows())]
    lines[4]["group"] = "g9"
    write(own, lines)
    with pytest.raises(DataError, match=r"csv:11: it is in the group of line 6.* other half"):
        data.prepare("mine", own)
    lines[4]["group"] = ""
    write(own, lines)
    photo(3).save(own / "photos/11.png")
    with pytest.raises(DataError, match=r"csv:13: it is in the group of line 5, or has the same"):
        data.prepare("mine", own)


def test_test_faces_without_points_are_refused(own):
    lines = [row | {"split": SPLIT[at]} for at, row in enumerate(rows())]
    lines[3] |= {"x1": "", "y1": "", "x3": "", "y3": ""}
    write(own, lines)
    message = r"csv:5: a test face needs both eyes, or two points that .* only one point is known"
    with pytest.raises(DataError, match=message):
        data.prepare("mine", own)


def test_why_no_face_can_be_scored_is_told(own):
    """Two eyes on one level span no box, so that without their names there is no size."""
    write(own, [{name: row[name] for name in HEADER if name[1:] != "3"} for row in rows()])
    (own / "about.toml").unlink()
    with pytest.raises(DataError, match=r"20 training and 0 test .*line 2 all points lie on one l"):
        data.prepare("mine", own)
    (own / "about.toml").write_text("eyes = [1, 2]")
    assert len(data.prepare("mine", own).test) == 4


def test_eyes_in_one_place_are_scored_by_the_box_and_points_in_one_place_are_not(own):
    """As single precision has it, in which faces are kept: a millionth of a pixel is nothing."""
    lines = [row | {"split": SPLIT[at]} for at, row in enumerate(rows())]
    lines[3] |= {"x1": "12", "y1": "9", "x2": "12", "y2": "9", "x3": "16", "y3": "18"}
    write(own, lines)
    data.prepare("mine", own)
    _, test = data.load("mine", 30)
    np.testing.assert_allclose(face_sizes(test)[0], 6)  # the root of 4 x 9
    lines[3] |= {"x3": "12.0000001"}
    write(own, lines)
    with pytest.raises(DataError, match=r"csv:5: a test face .* lie on one level or upright line"):
        data.prepare("mine", own)


BOX = {"left": "10", "top": "2", "right": "20", "bottom": "20"}
TOLD = {"mirror": "[mirror]\n", "class": '[classes]\nsmile = ["no", "yes", "perhaps"]'}


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda own: None, None),
        (
            lambda own: write(own, [row | BOX for row in rows()]),
            # a square from 6 to 24 across; x2 of every fifth face is 25, of another 26
            r"8 of 60 \(13%\) points lie outside the square that the network sees",
        ),
        (
            lambda own: write(own, [r | BOX | {"x3": "0", "y3": "0"} for r in rows()]),
            r"20 of 60 \(33%\) points lie at \(0, 0\): leave",
        ),
        (
            change(7, x1="12.2", y1="10", x2="12.9", y2="10.1", x3="12.5", y3="10.2"),
            r"1 of 20 \(5%\) faces have all points within a pixel",
        ),
        (change(7, x1="20", x2="20.9"), r"1 of 20 \(5%\) faces have the eyes within a pixel"),
        (points(lambda x, y: (str(y), str(x - 3))), r"above each other on most faces: x comes bef"),
        (
            lambda own: write(own, [r | {a: rows()[0][a] for a in HEADER[1:7]} for r in rows()]),
            "the points are the same on every face",
        ),
        (
            change(7, x1="", y1="", x2="", y2=""),
            r"1 of 20 \(5%\) faces have no two points that span a box",
        ),
        (column("yaw_deg", lambda at: 10 * at), r"10 of 20 \(50%\) angles lie beyond ±90°"),
        (column("yaw_deg", lambda at: at / 20), r"no angle lies beyond ±0\.95°: are they radians"),
        (column("yaw_deg", lambda at: 5), r"the angle is the same on every face"),
        (
            column("mood", lambda at: ("Yes", "yes")[at % 2]),
            r"some values differ only in capital letters",
        ),
        (told(TOLD["class"]), r"no training face is perhaps"),
        (lambda own: photo(19).save(own / "photos/18.png"), r"1 of 20 \(5%\) photos are copies"),
    ],
)
def test_what_may_not_be_meant_is_told(own, damage, line):
    damage(own)
    doubts = [row for row in str(data.prepare("mine", own)).splitlines() if "look again" in row]
    told = [row for row in doubts if line and re.search(line, row)]
    assert bool(told) == bool(line), doubts
    assert line or not doubts


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            TOLD["mirror"],
            "points 1, 2, 3; angles roll; labels smile, side; no point moves",
        ),
        ('[mirror]\npoints = [[1, 2]]\nnegated = ["roll"]', "points 3; labels smile, side"),
    ],
)
def test_what_a_mirror_leaves_alone_is_told(own, content, line):
    (own / "about.toml").write_text(content)
    report = str(data.prepare("mine", own)).splitlines()
    assert f"mirrored in training, as about.toml says; left as they are: {line}" in report


@pytest.mark.parametrize("name", ["2024-05-01T10:30:00.png", "a:b.png", "é ß 写真.png"])
def test_names_of_any_kind_are_found(own, name):
    shutil.move(own / "photos/03.png", own / name)
    change(5, file=name)(own)
    assert name in str([half.names for half in prepared(own)])


def prepared(own: Path):
    report = data.prepare("mine", own)
    return report.train, report.test


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (("10", "5", "9", "15"), r"csv:2: the box is empty"),
        (("10", "5", "", "15"), r"csv:2: of left, top, right, bottom some are empty"),
        (("10", "5", "90", "15"), r"csv:2: the middle of the box lies outside the photo \(40 x 30"),
        (("0.2", "0.1", "0.8", "0.9"), r"csv:2: the box is smaller than a pixel: write pixels"),
        (("17", "1", "17.000001", "29"), r"csv:2: the box is smaller than a pixel"),
        (("-1e9", "5", "1e9", "15"), r"csv:\d+: the box is more than twice as large as the photo"),
    ],
)
def test_boxes_that_are_none_are_refused(own, box, message):
    sides = dict(zip(("left", "top", "right", "bottom"), box, strict=True))
    write(own, [row | sides for row in rows()])
    with pytest.raises(DataError, match=message):
        data.prepare("mine", own)


@pytest.mark.parametrize("name", ["mtfl", "synthetic", "cache", "../mine", "a b", ""])
def test_names_that_are_taken_or_no_names_are_refused(own, name):
    with pytest.raises(DataError, match="cannot name a folder of yours"):
        data.prepare(name, own)


def test_unknown_sets_are_told_what_there_is(own):
    data.prepare("mine", own)
    with pytest.raises(DataError, match=r"'yours' is unknown; choose from \['mtfl', .*'mine'\]"):
        data.load("yours", 30)


def test_a_registered_set_wins_over_a_folder_of_its_name(own):
    shutil.copytree(own, paths.data() / "synthetic")
    assert data.find("synthetic") is data.DATASETS["synthetic"]
    assert "synthetic" not in data.own()

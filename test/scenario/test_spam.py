"""The spam filter on files, without a house: train, score, test."""
import json
import os
import subprocess

from harness.house import BINARY


def posthouse(*args, code=0):
    done = subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def write_mail(folder, kind, count):
    """Paths of so many made-up messages."""
    paths = []
    for i in range(count):
        path = folder / f"{kind}{i}.eml"
        if kind == "spam":
            text = f"From: <x{i}@offers{i % 7}.test>\nSubject: Cheap pills {i}!\n\nBuy cheap pills now at http://pills{i % 5}.test/{i} !!!\n"
        else:
            text = f"From: Ann <ann@work.test>\nSubject: Re: the patch {i}\nIn-Reply-To: <{i}@work.test>\n\nI looked at patch {i}, line {i * 3}.\n"
        path.write_text(text)
        paths.append(path)
    return paths


def write_list(path, paths):
    path.write_text("".join(f"{p}\n" for p in paths))
    return str(path)


def test_train_score_and_test(tmp_path):
    ham, spam = write_mail(tmp_path, "ham", 50), write_mail(tmp_path, "spam", 50)
    model = str(tmp_path / "model")
    lists = ("--ham", write_list(tmp_path / "ham", ham[:40]), "--spam", write_list(tmp_path / "spam", spam[:40]))
    (row,) = [json.loads(line) for line in posthouse("spam", "train", "--model", model, *lists, "--json").splitlines()]
    assert row["wanted"] == 40 and row["unwanted"] == 40
    before = (tmp_path / "model").read_bytes()
    # What is known is not learnt again: the same model.
    (row,) = [json.loads(line) for line in posthouse("spam", "train", "--model", model, *lists, "--json").splitlines()]
    assert row["wanted_new"] == 0 and row["unwanted_new"] == 0
    assert (tmp_path / "model").read_bytes() == before
    assert sorted(p for p in os.listdir(tmp_path) if p.startswith("model")) == ["model"]
    # A line for each, in the order of the list.
    lines = posthouse("spam", "score", "--model", model, write_list(tmp_path / "all", ham[40:] + spam[40:])).splitlines()
    assert [line.split("\t")[0] for line in lines] == [str(p) for p in ham[40:] + spam[40:]]
    scores = [float(line.split("\t")[1]) for line in lines]
    assert max(scores[:10]) < 0 < min(scores[10:])
    # Why.
    (row,) = [json.loads(line) for line in posthouse("spam", "test", str(spam[45]), "--model", model, "--json").splitlines()]
    assert row["opinion"] == "unwanted" and row["probability"] > 0.5
    assert any("pills" in part["what"] and part["speaks_for"] == "unwanted" for part in row["parts"])
    # Nothing learnt, nothing said.
    (row,) = [json.loads(line) for line in posthouse("spam", "test", str(spam[45]), "--json").splitlines()]
    assert row["opinion"] == "unsure"


def test_what_is_no_model(tmp_path):
    (mail,) = write_mail(tmp_path, "ham", 1)
    listing = write_list(tmp_path / "list", [mail])
    assert "spam train" in posthouse("spam", "score", "--model", str(tmp_path / "none"), listing, code=66)
    assert "damaged" in posthouse("spam", "score", "--model", str(mail), listing, code=65)
    model = str(tmp_path / "model")
    posthouse("spam", "train", "--model", model, "--ham", listing, "--spam", "/dev/null")
    with open(model, "r+b") as f:
        f.truncate(100)
    assert "damaged" in posthouse("spam", "test", str(mail), "--model", model, code=65)
    # A path that is not there is said, and the model stays.
    assert "no-such" in posthouse("spam", "train", "--model", str(tmp_path / "new"), "--ham",
                                  write_list(tmp_path / "wrong", ["/no-such"]), "--spam", "/dev/null", code=66)
    assert not (tmp_path / "new").exists()

"""Files of sound, their spectra, and recordings as batches."""

import importlib.util
import io
import shutil
import wave

import numpy as np
import pytest

from bigmodel.data.sounds.espeak import recited
from bigmodel.data.sounds.reading import sound_reader
from bigmodel.data.sounds.sounds import SoundData, load_sounds, load_speech
from bigmodel.data.sounds.spectrum import HOP, WINDOW, log_mel
from bigmodel.data.sounds.utterances import sung
from bigmodel.data.sounds.waves import read_wave, resampled
from bigmodel.experiment import InputError

TONES = SoundData(recordings=96, rate=4000, bands=16, batch_size=8)


def tone(rate=8000, seconds=0.5, frequency=440.0):
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)).astype(
        np.float32
    )


def wav(samples, rate=8000, channels=1, width=2):
    """A WAV file by the standard library's writer."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        repeated = np.repeat(samples[:, None], channels, axis=1)
        if width == 1:
            data = (np.rint(repeated * 127) + 128).astype(np.uint8).tobytes()
        elif width == 3:
            data = b"".join(
                int(x).to_bytes(3, "little", signed=True) for x in (repeated * 8388607).ravel()
            )
        else:
            data = (repeated * (2 ** (8 * width - 1) - 1)).astype(f"<i{width}").tobytes()
        file.writeframes(data)
    return buffer.getvalue()


@pytest.mark.parametrize(("width", "channels"), [(1, 1), (2, 2), (3, 1), (4, 2)])
def test_wav_files_of_every_depth_are_samples_of_one_channel(width, channels):
    samples = tone()
    found = read_wave(wav(samples, channels=channels, width=width))
    assert (found.rate, found.channels) == (8000, channels)
    np.testing.assert_allclose(found.samples, samples, atol=2 / 2 ** (8 * width - 1))


@pytest.mark.skipif(importlib.util.find_spec("soundfile") is None, reason="needs soundfile")
def test_flac_is_read_and_a_cut_one_refused():
    import soundfile

    buffer = io.BytesIO()
    random = np.random.default_rng(0)
    samples = tone(seconds=4) * random.uniform(0.2, 1, 32000).astype(np.float32)
    soundfile.write(buffer, samples, 8000, format="FLAC")
    content = buffer.getvalue()
    np.testing.assert_allclose(read_wave(content).samples, samples, atol=1e-4)
    for part in (0.3, 0.6, 0.9):
        with pytest.raises(InputError):
            read_wave(content[: int(len(content) * part)])


def test_what_is_no_sound_is_refused(tmp_path):
    whole = wav(tone())
    for content, message in {
        b"": "is empty",
        wav(tone()[:0]): "has no samples",
        whole[:30]: "there are no samples",
        whole[: len(whole) // 2]: "is cut: it has fewer samples",
        b"RIFF" + b"\0" * 60: "there are no samples",
        b"RIFF" + b"\xff" * 60: "there are no samples",
    }.items():
        with pytest.raises(InputError, match=message):
            read_wave(content)
    with pytest.raises(InputError) as error:
        read_wave(b"text")
    assert "object at" not in str(error.value)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_wave(tmp_path / "nothing.wav")


def test_the_samples_of_a_wav_may_follow_other_chunks():
    whole = wav(tone())
    other = b"LIST" + (9).to_bytes(4, "little") + b"INFO data" + b"\0"
    np.testing.assert_array_equal(
        read_wave(whole[:12] + other + whole[12:]).samples, read_wave(whole).samples
    )


def test_another_rate_keeps_the_pitch():
    lower = resampled(tone(44100), 44100, 8000)
    assert len(lower) == 4000
    np.testing.assert_allclose(lower[400:-400], tone(8000)[400:-400], atol=5e-3)


def test_a_spectrum_is_that_of_the_plain_formula():
    rate, bands = 4000, 6
    samples = np.random.default_rng(0).normal(size=500) * 0.1
    size, hop = round(WINDOW * rate), round(HOP * rate)
    frequencies = np.arange(size // 2 + 1) * rate / size

    def mel(f):
        return 2595 * np.log10(1 + f / 700)

    edges = 700 * (10 ** (np.linspace(mel(20), mel(rate / 2), bands + 2) / 2595) - 1)
    expected = np.zeros((1 + 500 // hop, bands))
    for frame in range(len(expected)):
        piece = np.zeros(size)
        for n in range(size):
            at = frame * hop - size // 2 + n
            window = 0.5 - 0.5 * np.cos(2 * np.pi * n / size)
            piece[n] = window * samples[at] if 0 <= at < 500 else 0
        angles = np.exp(-2j * np.pi * np.outer(np.arange(size // 2 + 1), np.arange(size)) / size)
        power = np.abs(angles @ piece) ** 2
        for band in range(bands):
            low, middle, high = edges[band : band + 3]
            weights = [
                max(0, min((f - low) / (middle - low), (high - f) / (high - middle)))
                for f in frequencies
            ]
            expected[frame, band] = np.log10(max(1e-10, power @ weights * 2 / (high - low)))
    np.testing.assert_allclose(log_mel(samples, rate=rate, bands=bands), expected, atol=1e-5)


def test_no_voice_is_in_two_parts_and_all_digits_are_in_each():
    for load in (load_sounds, load_speech):
        data, reader = load(TONES)
        assert {part: len(samples) for part, samples in data.inputs.items()} == {
            "validation": 8,
            "test": 20,
        }
        batch = data.train(0, 0, slice(2, 5))
        whole = data.train(0, 0)
        for name, array in whole.items():
            np.testing.assert_array_equal(batch[name], array[2:5])
        again = sound_reader(data.assets)
        assert again == reader
        encoded = again.encode(list(data.inputs["test"][:2]))
        for name, array in encoded.items():
            np.testing.assert_array_equal(array, data.splits["test"][0][name][:2])


def test_a_voice_is_the_same_pitch_at_other_digits():
    random = np.random.default_rng(0)
    some = [sung(voice, [3, 1], 4000, random) for voice in (0, 0, 1)]
    assert {each.voice for each in some} == {"tones 0", "tones 1"}
    assert {each.text for each in some} == {"three one"}


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_what_espeak_says_is_kept_and_is_the_same_when_it_is_read_again(
    tmp_path, monkeypatch, capfd
):
    def say():
        return recited(count=3, longest=2, rate=8000, seed=0, cache=str(tmp_path))

    some = say()
    assert "prepared" in capfd.readouterr().err
    monkeypatch.setattr("bigmodel.data.sounds.espeak._spoken", None)
    for one, other in zip(some, say(), strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        assert one[1:] == other[1:]
    assert len({each.voice for each in some}) == 3
    assert all(0.05 < np.abs(each.samples).max() <= 1.1 for each in some)


@pytest.fixture
def recordings(tmp_path):
    """Six recordings of two classes, one of another rate and one with two channels."""
    lines = []
    for number in range(6):
        rate = 16000 if number == 1 else 8000
        content = wav(tone(rate, frequency=300 + 200 * (number % 2)), rate, 1 + (number == 2))
        (tmp_path / f"{number}.wav").write_bytes(content)
        lines.append(f"{number}.wav\t{'ab'[number % 2]}\tvoice {number}")
    (tmp_path / "all.tsv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def own(path, **options):
    return SoundData("files", path=str(path / "all.tsv"), **{"batch_size": 2} | options)


def test_files_of_other_rates_and_channels_are_brought_to_one_and_this_is_said(recordings, capsys):
    data, reader = load_sounds(own(recordings))
    assert (reader.names, reader.time) == (("a", "b"), 51)
    said = capsys.readouterr().err
    assert "1 recordings are resampled to 8000 Hz" in said
    assert "1 recordings are mixed to one channel" in said
    whole = load_sounds(own(recordings), data.assets).data
    assert {part: len(samples) for part, samples in whole.inputs.items()} == {"test": 6}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: (path / "3.wav").write_bytes(wav(np.zeros(900))), r"line 4.*it is silent"),
        (lambda path: (path / "3.wav").write_bytes(b"RIFF"), r"line 4.*no samples in it"),
        (lambda path: (path / "3.wav").write_bytes(wav(tone())[:900]), r"line 4.*is cut"),
        (lambda path: (path / "3.wav").unlink(), r"line 4.*cannot be read: No such file"),
        (lambda path: (path / "all.tsv").write_text("0.wav a"), r"line 1 has no tab; write FILE"),
        (
            lambda path: (path / "all.tsv").write_text("0.wav\t\tx"),
            r"line 1 needs a file and a text",
        ),
        (lambda path: (path / "3.wav").write_bytes(b""), r"line 4: 3\.wav: is empty"),
        (lambda path: (path / "all.tsv").write_text("0.wav\ta"), "three are the fewest"),
    ],
)
def test_recordings_that_cannot_be_used_are_named(recordings, spoil, message):
    spoil(recordings)
    with pytest.raises(InputError, match=message):
        load_sounds(own(recordings))


def test_a_recording_that_is_told_twice_is_in_one_part(recordings):
    lines = [f"{number % 3}.wav\t{'ab'[number % 2]}" for number in range(6)]
    (recordings / "all.tsv").write_text("\n".join(lines), encoding="utf-8")
    data = load_sounds(own(recordings)).data
    assert {part: len(samples) for part, samples in data.inputs.items()} == {
        "validation": 2,
        "test": 2,
    }


def test_what_training_hears_too_or_never_hears_is_said(recordings, capsys):
    lines = (recordings / "all.tsv").read_text(encoding="utf-8").splitlines()
    lines[0] = "0.wav\tc\tvoice 9"
    (recordings / "test.tsv").write_text("\n".join(lines[:2]), encoding="utf-8")
    load_speech(own(recordings, test_path=str(recordings / "test.tsv")))
    said = capsys.readouterr().err
    assert "has 1 voice(s) that are in" in said
    assert "such as 'voice 1': they are heard in training" in said
    assert "no recording to train on has 1 of the letters, such as 'c'" in said


def test_a_recording_longer_than_those_of_the_run_is_named(recordings):
    trained = load_sounds(own(recordings)).data.assets
    (recordings / "5.wav").write_bytes(wav(tone(seconds=2)))
    with pytest.raises(InputError, match=r"line 6: 5\.wav: it lasts 2\.01 s, and the recordings"):
        load_sounds(own(recordings), trained)


def test_a_transcript_must_fit_its_recording_and_the_run(recordings):
    path = recordings / "all.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    trained = load_speech(own(recordings))
    path.write_text("\n".join([*lines[:-1], "5.wav\tc\tx"]), encoding="utf-8")
    with pytest.raises(InputError, match=r"line 6: 5\.wav: .* has the letter 'c', which the run"):
        load_speech(own(recordings), trained.data.assets)
    with pytest.raises(InputError, match="has the class 'c', which the run has not"):
        load_sounds(
            own(recordings), load_sounds(own(recordings)).data.assets and trained.data.assets
        )
    path.write_text("\n".join([*lines[:-1], f"5.wav\t{'ab' * 40}\tx"]), encoding="utf-8")
    with pytest.raises(InputError, match=r"too many for 0\.50 s"):
        load_speech(own(recordings))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros(100), "silent"),
        (np.ones((2, 2)), "no list of samples"),
        (
            (tone(seconds=1) * 32767).astype(np.int16),
            "from -1 to 1; divide those of 16 bits",
        ),
        ([0.5, -3.0] * 4000, "a sample of -3, and samples are from"),
        ([], "no list of"),
        (tone(seconds=60), "cut it"),
        ("nothing.wav", "No such file"),
    ],
)
def test_inputs_that_cannot_be_heard_are_refused(wrong, message):
    reader = load_sounds(TONES).reader
    with pytest.raises(InputError, match=message):
        reader.encode([wrong])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "files"}, "needs --data.path"),
        ({"path": "x"}, "leave it out"),
        ({"rate": 1000}, "too low for voices"),
        ({"rate": 10**9}, "no rate of sound"),
        ({"digits": 10**6}, "1440 recordings of 1000000 digits need .* GB of memory"),
        ({"bands": 90}, "too many"),
        ({"seconds": 0.0}, "must be above 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        load_sounds(SoundData(**options))

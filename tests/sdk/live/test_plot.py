"""Pictures of results."""

import numpy as np
import pytest
from facesr_edge.sdk.live.plot import COLORS, plot
from support.live_results import live_face, live_result, skipped_face


def has(picture, color):
    return bool((picture == color).all(-1).any())


@pytest.mark.parametrize("size_wh", [(320, 180), (960, 540), (64, 48), (33, 21)])
@pytest.mark.parametrize("outscale", [1, 2])
def test_the_size_depends_on_the_frame_alone(size_wh, outscale):
    pictures = [
        plot(live_result(*faces, size_wh=size_wh, outscale=outscale))
        for faces in ((), (live_face(1),), tuple(live_face(n) for n in range(1, 12)))
    ]
    height, width = size_wh[1] * outscale, size_wh[0] * outscale
    assert len({picture.shape for picture in pictures}) == 1
    assert pictures[0].shape[1] == width and pictures[0].shape[0] > height
    assert plot(live_result(live_face(), size_wh=size_wh, outscale=outscale), strip=False).shape == (height, width, 3)
    assert (pictures[0].shape[0] - height) % 2 == 0


@pytest.mark.parametrize("treatment", [kind for kind in COLORS if kind != "skipped"])
def test_a_box_has_the_color_of_its_treatment_on_its_edge(treatment):
    face = live_face(1, box=(100, 80, 140, 130), treatment=treatment)
    picture = plot(live_result(face), strip=False)
    assert (picture[200, 200] == COLORS[treatment]).all()
    assert sum(has(picture, color) for color in COLORS.values()) == 1


def test_predicted_boxes_are_dashed():
    def edge(**changes):
        picture = plot(live_result(live_face(1, box=(100, 80, 140, 130), **changes)), strip=False)
        return (picture[170:250, 200] == COLORS["network"]).all(-1).mean()

    assert edge() == 1 and 0.3 < edge(detected=False) < 0.8


def test_skipped_faces_are_drawn_too():
    assert has(plot(live_result(skipped=(skipped_face(),)), strip=False), COLORS["skipped"])


def test_the_strip_shows_each_original_beside_its_upscaled_pixels_best_first():
    faces = [live_face(1, quality=0.2), live_face(2, quality=0.9)]
    strip = plot(live_result(*faces))[360:]
    row = strip[strip.shape[0] // 2]
    colors = [tuple(row[x]) for x in (48, 48 + 96, 192 + 48, 192 + 48 + 96)]
    assert colors == [(2,) * 3, (102,) * 3, (1,) * 3, (101,) * 3]


def test_the_result_is_not_changed_and_drawing_twice_gives_the_same():
    result = live_result(live_face(1), outscale=1)
    before = result.source.pixels.copy()
    first, second = plot(result), plot(result)
    assert (result.source.pixels == before).all() and (first == second).all()


@pytest.mark.parametrize("box", [(-40, -40, 20, 20), (300, 160, 400, 240), (-500, -500, 900, 900), (1e6, 0, 2e6, 9)])
def test_boxes_past_the_frame_are_cut(box):
    assert plot(live_result(live_face(1), skipped=(skipped_face(box=box),))).dtype == np.uint8


def test_names_of_other_alphabets_do_not_fail():
    assert plot(live_result(camera="вход 門")).any()

"""Files for printers: their size, their upright, and a check whose numbers are known beforehand."""

import numpy as np
import pytest
import torch
import trimesh

from recon.core.errors import InputError
from recon.core.mesh import TexturedMesh
from recon.io.export import export
from recon.io.meshes.printing import check_print, on_plate


def box(x: float, y: float, z: float) -> TexturedMesh:
    shape = trimesh.creation.box((x, y, z))
    return TexturedMesh.from_arrays(shape.vertices, shape.faces, shape.vertices * 0 + [1.0, 0.5, 0.25])


def test_a_print_stands_upright_on_its_plate() -> None:
    low, high = on_plate(box(1, 2, 0.5), 80).bounds
    assert low.tolist() == pytest.approx([-20, -10, 0], abs=1e-4)
    assert high.tolist() == pytest.approx([20, 10, 80], abs=1e-4)  # +Y of the mesh is +Z of the printer


@pytest.mark.parametrize("form", ["stl", "3mf"])
def test_files_are_in_millimetres_and_keep_the_solid(tmp_path, form) -> None:
    path = export(box(1, 2, 0.5), tmp_path / f"a.{form}", form, size_mm=60)
    if form == "stl":
        solid = trimesh.load_mesh(path)
        vertices, volume = solid.vertices, solid.volume
        assert solid.is_watertight
    else:
        lib3mf = pytest.importorskip("lib3mf", reason="needs the extra print")
        model = lib3mf.get_wrapper().CreateModel()
        model.QueryReader("3mf").ReadFromFile(str(path))
        found = model.GetMeshObjects()
        found.MoveNext()
        shape = found.GetCurrentMeshObject()
        vertices = np.array([list(each.Coordinates) for each in shape.GetVertices()])
        faces = np.array([list(each.Indices) for each in shape.GetTriangleIndices()])
        volume = trimesh.Trimesh(vertices, faces, process=False).volume
        assert shape.IsManifoldAndOriented()
        assert model.GetUnit() == lib3mf.ModelUnit.MilliMeter.value
        groups = model.GetColorGroups()
        groups.MoveNext()
        color = groups.GetCurrentColorGroup().GetColor(groups.GetCurrentColorGroup().GetAllPropertyIDs()[0])
        assert [color.Red, color.Green, color.Blue] == pytest.approx([255, 128, 64], abs=4)
    assert np.ptp(vertices, axis=0) == pytest.approx([30, 15, 60], abs=1e-3)
    assert volume == pytest.approx(30 * 15 * 60, rel=1e-4)


def test_the_check_measures_walls_overhang_and_holes() -> None:
    found = check_print(box(1, 1, 0.05), 100)
    assert found.size_mm == pytest.approx((100, 5, 100), abs=1e-3)
    assert found.thinnest_mm == pytest.approx(5, rel=0.01)
    assert found.watertight
    assert found.overhang == 0
    # A block on a leg: the block's underside hangs in the air, around the leg.
    block, leg = trimesh.creation.box((1, 0.5, 1)), trimesh.creation.box((0.2, 0.5, 0.2))
    block.apply_translation((0, 0.5, 0))
    table = trimesh.boolean.union([block, leg], engine="manifold")
    found = check_print(TexturedMesh.from_arrays(table.vertices, table.faces), 50)
    assert found.overhang == pytest.approx((1 - 0.04) / table.area, rel=1e-3)
    whole = box(1, 1, 1)
    holed = TexturedMesh(whole.vertices, whole.faces[1:])
    assert not check_print(holed, 50).watertight
    assert "repair it" in check_print(holed, 50).text()


def test_sizes_that_no_printer_has() -> None:
    for size in (0.0, -1.0, 1e9, float("nan")):
        with pytest.raises(InputError, match="between 0 and 10000 mm"):
            on_plate(box(1, 1, 1), size)
    assert torch.isfinite(on_plate(box(1, 1, 1), 1).vertices).all()

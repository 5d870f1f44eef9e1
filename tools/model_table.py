"""Write docs/models.md from the table of checkpoints: ``python tools/model_table.py``."""

from pathlib import Path

from mvdiff.backbones.catalog import CHECKPOINTS, facts

PAGE = Path(__file__).resolve().parents[1] / "docs/models.md"
_HEAD = """# Models

The column "option" says how each is chosen, and `mvdiff models list` prints the same table. All but the embedded model
are published by others: `mvdiff models pull NAME` downloads their weights at one commit, and no other verb downloads
anything. The code that runs them is this project's own, on stock classes of diffusers and transformers.

No model hub could be reached where this was written. What "conformance" says was tested with random weights that both
implementations shared; "never run with its real weights" means that the quality of the results is unknown here. The
commits to use could not be looked up for the same reason: where the last column says `COMMIT`, `pull` asks for
`--revision`, and says where to find it.
"""
_TAIL = """
## Loading

- Only safetensors are read. A pickle is converted by `mvdiff models convert`, after its SHA-256 was checked and
  without running code in it.
- Code from a repository is never run (`auto_map` and `custom_pipeline` are refused or ignored), and keys must fit
  exactly.
- `mvdiff models verify NAME` compares every file with the SHA-256 of the manifest that `pull` wrote.
- On a machine without network, copy the folder and pass `--weights FOLDER`. `HF_HOME` and `HF_HUB_OFFLINE` are
  honored.
- Non-commercial weights ask for `--accept-license ID` once. Their license stands in the manifest, in the report and
  in the extras of each GLB.

- `--precision fp16` or `bf16` sets the precision of the networks. `mvdiff models pull NAME --variant fp16` downloads
  files of half precision where the publisher has them, which takes half the disk.
- `--chunk-size N` draws fewer objects at a time and `--offload` keeps only the network in use on the GPU. The message
  on a lack of memory says how much was asked for and which of the two to pass.
- `--lora FILE` fuses a LoRA of the UNet into Zero123++ or MV-Adapter, in the names of diffusers or of kohya.
- The base of MV-Adapter can be another model: `mvdiff models pull mv-adapter --repo
  stabilityai/stable-diffusion-xl-base-1.0=OWNER/NAME` takes a fine-tuned SDXL.

## Zero123++

The six views come as one sheet; the photo itself is the seventh. A second pass of the normal ControlNet, where its
weights lie in `controlnet/`, gives normals; their length gives alpha by closed-form matting (Levin et al. 2008).
Without it, alpha comes from the plain background. The background's share is divided out of the colors. The axes of
the normals (red right, green up, blue towards the viewer) are those of the picture that the authors publish with
version 1.2.

Reference noise, the VAE's posterior, the initial noise and the noise of each step come from the generator of their
own hypothesis, so that hypothesis k is the same for every N. Upstream draws some of them from the global generator.

The photo's camera is drawn from the estimator of the embedded model. The white UNet of InstantMesh is
`zero123plus-white`; its objects are larger in the picture.
"""


def render() -> str:
    """The whole page."""
    columns = list(facts(CHECKPOINTS[0]))
    rows = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    rows += [f"| `{row.name}`: {row.title} | {' | '.join(facts(row).values())} |" for row in CHECKPOINTS]
    return f"{_HEAD}\n" + "\n".join(rows) + f"\n{_TAIL}"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(PAGE)

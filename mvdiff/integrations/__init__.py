"""The package inside other programs: nodes of ComfyUI, and the add-on of Blender."""

"""The add-on of Blender, as a package of its own in ``addon``, and the archive that Blender installs."""

"""Classes of the meshes of packs, by their names."""

import re

#: Names that match none of these stay out of scenes; the first that matches counts. ``None``: never used.
_RULES: tuple[tuple[str | None, str], ...] = (
    (None, r"dragon|robot|weapon|sword|gun|axe|alien|skull|zombie|castle|bridge"),
    (None, r"lava|floating|spiral|mountain|tennis|desk.?lamp|upper|shower|chr_|lantern|basketball"),
    (None, r"box_room|frame|surveil|security|net_and|leaning|guncase|corner"),
    (None, r"window|door|wall|floor(?!.?lamp)|stair|tile|road"),
    ("car", r"(^|[_/-])(car|suv|sedan|hatchback|taxi|minivan|jeep)(?![a-z])|station.?wagon|sports.?car|police.?car"),
    ("truck", r"(^|[_/-])(van|ambulance|truck|delivery|garbage|fire.?truck)(?![a-z])"),
    ("tree", r"(^|[/_-])trees?(?![a-z])|palm|cypress|pine(?!apple)|birch|maple"),
    ("lamp", r"floor.?lamp|lamp_standing|light_stand"),
    ("sofa", r"sofa|couch|futon|loveseat"),
    ("bed", r"(^|[_/-])(bed|bunk)(?![a-z])|hospital.?bed"),
    ("cabinet", r"wardrobe|armoire|bookcase|bookshelf|shelf|cabinet|cupboard|dresser|sideboard|chest.?of|fridge"),
    ("chair", r"chair|stool"),
    ("table", r"(^|[_/-])(desk|table)(?![a-z])|dining.?table|coffee.?table"),
    ("potted_plant", r"house.?plant|potted|ficus|yucca|fern|cactus|bonsai|(^|[_/-])plant(?![a-z])"),
    ("screen", r"monitor|laptop|television|(^|[_/-])tv(?![a-z])"),
    ("device", r"radio|toaster|microwave|blender|kettle|phone|camera|printer|keyboard"),
    ("vase", r"vase|(^|[_/-])jar(?![a-z])|(^|[_/-])jug(?![a-z])"),
    ("bottle", r"bottle|(^|[_/-])can(?![a-z])|shampoo|cleanser|mustard"),
    ("mug", r"(^|[_/-])(mug|cup)(?![a-z])"),
    ("bowl", r"bowl|(^|[_/-])plate(?![a-z])|(^|[_/-])pan(?![a-z])"),
    ("fruit", r"apple|banana|orange|pear(?![a-z])|lemon|peach"),
    ("package", r"(^|[_/-])(box|crate|carton)(?![a-z])|cracker|sugar|pudding|gelatin"),
    ("bag", r"suitcase|backpack|basket|handbag"),
)  # fmt: skip


def class_of(name: str) -> str | None:
    """A procedural family's name, or None where the mesh does not belong into a scene."""
    lowered = name.lower()
    return next((found for found, pattern in _RULES if re.search(pattern, lowered)), None)

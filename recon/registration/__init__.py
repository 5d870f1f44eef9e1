"""Registration of meshes to a photo."""

from recon.registration.placement import Placed, place
from recon.registration.poses import FrameChoice, Poses
from recon.registration.register import Registration, RegistrationConfig, register_to_photo

__all__ = ["FrameChoice", "Placed", "Poses", "Registration", "RegistrationConfig", "place", "register_to_photo"]

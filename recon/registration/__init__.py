"""Registration of meshes to a photo."""

from recon.registration.poses import FrameChoice, Poses
from recon.registration.register import Registration, RegistrationConfig, register_to_photo

__all__ = ["FrameChoice", "Poses", "Registration", "RegistrationConfig", "register_to_photo"]

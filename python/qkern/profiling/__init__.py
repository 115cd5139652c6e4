"""Where the time of a program goes: measured steps beside what the processor could do at best.

It knows nothing of graphs or sessions: `Measured` says what a step read, wrote, multiplied and took.
"""

from .limits import Limits, measure_limits
from .measured import Array, Layer, Measured
from .profile import Profile
from .roofline import FOREIGN
from .step_profile import StepProfile

__all__ = ["FOREIGN", "Array", "Layer", "Limits", "Measured", "Profile", "StepProfile", "measure_limits"]

"""What an operator decides before the start: environment variables, or the same names in a file."""

from onsettle.config.loading import load
from onsettle.config.problems import ConfigError
from onsettle.config.schema import Config, NetworkSection

__all__ = ["Config", "ConfigError", "NetworkSection", "load"]

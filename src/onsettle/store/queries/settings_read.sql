select key, value from system_settings

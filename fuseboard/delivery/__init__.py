"""How events travel: functions, sources, sinks, the relay and the local broker."""

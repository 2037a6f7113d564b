"""The state of targets and standbys, read from Events, pods, rollouts and probes."""

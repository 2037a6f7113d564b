"""What a cluster says of targets and standbys: Events, pods, rollouts, probes."""

"""One file per performance promise: ours, the floor and the peer, side by side in one run."""

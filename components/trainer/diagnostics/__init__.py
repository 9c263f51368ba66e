"""Whether and why metrics stand still: checks that return findings."""

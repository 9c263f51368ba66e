"""What belongs to no node: errors, options, differences between libraries, files, progress."""

"""What is nobody's domain: errors, options, differences between libraries, files, progress."""

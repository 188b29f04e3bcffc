"""What several commands share: options, paths, progress, complete outputs, what errors mean."""

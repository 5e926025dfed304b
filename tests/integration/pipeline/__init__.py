"""A package, so that what its tests share is set up for them alone and taken down after the last of them."""

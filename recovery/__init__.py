"""Getting data back: browse, download, restore."""

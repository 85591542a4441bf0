"""Use cases of putting Docker back: draft, look, conflicts, plan, execution, protection, rollback."""

"""Special bytes of dialogue: bytes that never occur in UTF-8, so that no user can type them."""

USER_MARK = b"\xfd"
ASSISTANT_MARK = b"\xfe"
END_MARK = b"\xff"  # end of a turn, and of a document

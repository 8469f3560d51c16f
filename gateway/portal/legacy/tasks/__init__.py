"""Tasks as clients of 2025-11-25 have them (its Tasks page): they ask for one, and every server here knows those of the
extension (SEP-2663), so what they ask is said in its words, and what they hear is put into theirs.
"""

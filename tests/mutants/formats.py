"""zip archives, JSON, and how a file appears under its name."""

from mutants.record import edits

ZIP = "tests/test_zip_section.py"
ATOMIC = "tests/test_atomic.py"
SAFETENSORS = "tests/test_safetensors.py"

COVERED = [
    *edits(
        "adapters/reparam_adapters/atomic.py",
        SAFETENSORS,
        (
            "symbolic link replaced",
            "Path(os.path.realpath(path))",
            "Path(path)",
            "test_links_are_followed_for_input_and_output",
        ),
        (
            "new file private",
            "mode = 0o666 if self._old_mode is None else 0o600",
            "mode = 0o600",
            "test_a_new_file_has_the_mode_of_the_umask",
        ),
        (
            "short write at the same place",
            "                offset += count\n",
            "                pass\n",
            "test_reads_and_writes_go_on_where_a_call_stopped",
        ),
        (
            "rest of a short write lost",
            "rest = rest[count:]",
            "rest = rest[:0]",
            "test_reads_and_writes_go_on_where_a_call_stopped",
        ),
        (
            "permissions lost",
            "os.fchmod(handle, self._old_mode)",
            "pass",
            "test_an_overwritten_file_keeps_its_mode",
        ),
        (
            "not checked",
            "                check(self._temporary)\n",
            "                pass\n",
            "test_the_library_can_veto_unless_it_is_too_old_for_a_dtype",
        ),
        (
            "temporary file stays",
            ("        with suppress(OSError):\n            self._temporary.unlink()\n"),
            "",
            "test_a_file_that_appeared_meanwhile_survives",
        ),
        (
            "a file that appeared meanwhile replaced",
            "self._target.hardlink_to(self._temporary)",
            "self._temporary.replace(self._target)",
            "test_a_file_that_appeared_meanwhile_survives",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/atomic.py",
        ATOMIC,
        (
            "private file readable while written",
            "mode = 0o666 if self._old_mode is None else 0o600",
            "mode = 0o666",
            "test_what_will_replace_a_private_file_is_private_from_the_start",
        ),
        (
            "not flushed",
            "            os.fsync(handle)\n            self._handle",
            "            self._handle",
            "test_the_bytes_are_on_the_disk_before_the_name_is",
        ),
        (
            "closed twice",
            "handle, self._handle = self._handle, None",
            "handle = self._handle",
            "test_a_second_discard_does_not_close_what_somebody_else_has_opened",
        ),
        (
            "existing file replaced unasked",
            ("        if not self._overwrite:\n            raise self._exists()\n"),
            "",
            "test_an_existing_file_is_refused_before_there_is_a_temporary_one",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/strict_json.py",
        SAFETENSORS,
        (
            "text behind the object",
            "root), text[end:]",
            'root), ""',
            "test_malformed_files_are_refused_in_a_short_printable_message",
        ),
        (
            "half surrogate pairs",
            '        if "\\\\u" in text:\n',
            "        if False:\n",
            "test_malformed_files_are_refused_in_a_short_printable_message",
        ),
        (
            "anything for an object",
            "    if type(root) is not dict:\n",
            "    if False:\n",
            "test_malformed_files_are_refused_in_a_short_printable_message",
        ),
        (
            "deep nesting",
            "except (ValueError, RecursionError) as error:",
            "except ValueError as error:",
            "test_malformed_files_are_refused_in_a_short_printable_message",
        ),
        (
            "last of equal keys",
            "    if len(members) != len(pairs):\n",
            "    if False:\n",
            "test_malformed_files_are_refused_in_a_short_printable_message",
        ),
        (
            "negative sizes",
            '    if digits.startswith("-"):\n',
            "    if False:\n",
            "test_malformed_files_are_refused_in_a_short_printable_message",
        ),
        (
            "NaN",
            "parse_int=_natural, parse_constant=_no_constant",
            "parse_int=_natural",
            "test_constants_that_are_not_json_are_refused[NaN]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/zip_section.py",
        ZIP,
        (
            "pipes opened",
            "if not stat.S_ISREG(os.fstat(handle).st_mode):",
            "if False:",
            "test_no_regular_file",
        ),
        (
            "missing members",
            "        if name not in self._zip.NameToInfo:\n",
            "        if False:\n",
            "test_missing_members_are_named",
        ),
        (
            "texts of any size",
            "        if info.file_size > MAX_TEXT:\n",
            "        if False:\n",
            "test_texts_are_bounded",
        ),
        (
            "packed members read in place",
            "if info.compress_type == zipfile.ZIP_STORED:",
            "if True:",
            "test_members_are_read",
        ),
        (
            "unpacked members at their end",
            "            unpacked.seek(0)\n",
            "",
            "test_members_are_read",
        ),
        (
            "names only before a member",
            "_HEADER.size + name + extra",
            "_HEADER.size + name",
            "test_extra_fields_lie_between_the_name_and_the_bytes",
        ),
        (
            "read beyond a member",
            "memoryview(buffer)[: max(self._size - self._at, 0)]",
            "memoryview(buffer)",
            "test_members_are_read",
        ),
        (
            "seek from the end",
            "(0, self._at, self._size)[whence]",
            "(0, self._at, 0)[whence]",
            "test_members_are_read",
        ),
        (
            "names out of the archive",
            " or _OUTSIDE.match(name):",
            ":",
            "test_names_outside_are_refused",
        ),
        (
            "bombs",
            "if info.file_size > MAX_RATIO * info.compress_size + 2**20:",
            "if False:",
            "test_bombs_are_refused",
        ),
    ),
]

MUTANTS = [*COVERED]

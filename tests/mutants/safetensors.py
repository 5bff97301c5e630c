"""safetensors files: header, reader, writer."""

from mutants.record import edits

SAFETENSORS = "tests/test_safetensors.py"

COVERED = [
    *edits(
        "adapters/reparam_adapters/safetensors.py",
        SAFETENSORS,
        (
            "any length",
            " and length < 2**48",
            "",
            "test_text_is_not_taken_for_a_file_of_this_format",
        ),
        (
            "hints ignored",
            "if hints is not None and hints != Hints():",
            "if False:",
            "test_what_concerns_keras_files_only_is_refused",
        ),
        (
            "form ignored",
            "if rewrite is not None and rewrite.form != Form():",
            "if False:",
            "test_what_concerns_keras_files_only_is_refused",
        ),
        (
            "pipes opened",
            "if not stat.S_ISREG(status.st_mode):",
            "if False:",
            "test_a_fifo_neither_hangs_the_reader_nor_the_writer",
        ),
        (
            "rows of any place",
            "if not (shape and 0 <= start <= stop <= shape[0]):",
            "if not shape:",
            "test_rows_that_do_not_exist_are_refused",
        ),
        (
            "rows one too far",
            "offset += start * math.prod(shape[1:]) * dtype.itemsize",
            "offset += (start + 1) * math.prod(shape[1:]) * dtype.itemsize",
            "test_rows_are_read_and_written_in_any_order",
        ),
        (
            "rows of single bytes",
            "offset += start * math.prod(shape[1:]) * dtype.itemsize",
            "offset += start * math.prod(shape[1:])",
            "test_rows_are_read_and_written_in_any_order",
        ),
        (
            "rows counted from the end",
            "            shape = (stop - start, *shape[1:])\n",
            "            shape = (stop, *shape[1:])\n",
            "test_rows_are_read_and_written_in_any_order",
        ),
        (
            "no memory",
            "        except MemoryError:",
            "        except ZeroDivisionError:",
            "test_a_tensor_larger_than_memory_is_refused",
        ),
        (
            "bytes of the next tensor",
            "min(_CHUNK, stop - offset)",
            "_CHUNK",
            "test_files_of_the_library_are_read",
        ),
        (
            "chunks at the same place",
            "            offset += len(piece)\n",
            "            offset = stop\n",
            "test_large_tensors_come_in_bounded_chunks",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/safetensors_header.py",
        SAFETENSORS,
        (
            "padding of anything",
            'if padding.strip(" "):',
            "if False:",
            "test_malformed_files_are_refused_in_a_short_printable_message",
        ),
        (
            "tensors without number",
            "if len(root) > MAX_TENSORS:",
            "if False:",
            "test_caps_on_header_size_and_tensor_count",
        ),
        (
            "gaps",
            "        if start != end:\n",
            "        if start < end:\n",
            "test_malformed_files_are_refused_in_a_short_printable_message",
        ),
        (
            "overlaps",
            "        if start != end:\n",
            "        if start > end:\n",
            "test_malformed_files_are_refused_in_a_short_printable_message",
        ),
        (
            "bytes behind the last tensor",
            "    if end != size:\n",
            "    if end > size:\n",
            "test_malformed_files_are_refused_in_a_short_printable_message",
        ),
        (
            "truncated data",
            "    if end != size:\n",
            "    if end < size:\n",
            "test_malformed_files_are_refused_in_a_short_printable_message",
        ),
        (
            "data counted from the start of the file",
            "base = LENGTH_BYTES + len(raw)",
            "base = len(raw)",
            "test_files_of_the_library_are_read",
        ),
        (
            "header not padded",
            '    raw += b" " * (-len(raw) % 8)\n',
            "",
            "test_files_are_those_of_the_library_whatever_the_order",
        ),
        (
            "tensors by name alone",
            "key=lambda name: (-_RANKS[tensors[name].dtype], name)",
            "key=lambda name: name",
            "test_files_are_those_of_the_library_whatever_the_order",
        ),
        (
            "small dtypes first",
            "(-_RANKS[tensors[name].dtype], name)",
            "(_RANKS[tensors[name].dtype], name)",
            "test_files_are_those_of_the_library_whatever_the_order",
        ),
        (
            "unknown dtypes",
            "        if info.dtype not in _CODES:\n",
            "        if False:\n",
            "test_what_could_not_be_read_again_is_not_written",
        ),
        (
            "metadata as it comes",
            "dict(sorted(metadata.items()))",
            "dict(metadata)",
            "test_files_are_those_of_the_library_whatever_the_order",
        ),
        (
            "bits taken for bytes",
            "* _BITS[code][1] // 8",
            "* _BITS[code][1]",
            "test_files_are_those_of_the_library_whatever_the_order",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/safetensors_writer.py",
        SAFETENSORS,
        (
            "header not written",
            "            self._file.write_at(0, head)\n",
            "            pass\n",
            "test_files_are_those_of_the_library_whatever_the_order",
        ),
        (
            "any dtype",
            "if rows.dtype.name != info.dtype or not",
            "if not",
            "test_an_incomplete_or_doubly_written_file_is_never_committed[other dtype of one size]",
        ),
        (
            "any shape",
            " or not _fits(rows.shape, info.shape, start):",
            ":",
            "test_an_incomplete_or_doubly_written_file_is_never_committed",
        ),
        (
            "place of rows in bytes",
            "(start * (stop - first) // info.shape[0] if start else 0)",
            "start",
            "test_rows_are_read_and_written_in_any_order",
        ),
        (
            "more than was announced",
            "            if position + len(chunk) > stop:\n",
            "            if False:\n",
            "test_chunks_never_reach_into_the_next_tensor",
        ),
        (
            "chunks on top of each other",
            "            position += len(chunk)\n",
            "            pass\n",
            "test_chunks_never_reach_into_the_next_tensor",
        ),
        (
            "written twice",
            "                if piece[0] != end:\n",
            "                if piece[0] > end:\n",
            "test_an_incomplete_or_doubly_written_file_is_never_committed",
        ),
        (
            "incomplete tensors",
            "            if end != stop:\n",
            "            if False:\n",
            "test_an_incomplete_or_doubly_written_file_is_never_committed",
        ),
        (
            "not opened by the library",
            "self._file.commit(self._open_by_library)",
            "self._file.commit()",
            "test_the_library_can_veto_unless_it_is_too_old_for_a_dtype",
        ),
    ),
]

MUTANTS = [*COVERED]

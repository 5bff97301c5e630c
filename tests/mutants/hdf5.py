"""HDF5 files: read with care, written from a layout."""

from mutants.record import edits

HDF5 = "tests/test_hdf5_tree.py"
KERAS_OUTPUT = "tests/test_keras_output.py"
GRAPHS = "tests/test_keras_graphs.py"


COVERED = [
    *edits(
        "adapters/reparam_adapters/hdf5_output.py",
        GRAPHS,
        (
            "attributes of groups lost",
            "                    self._set_attribute(group.attrs, key, value)\n",
            "                    pass\n",
            "test_one_convolution_is_left[a difference-.h5]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/hdf5_output.py",
        KERAS_OUTPUT,
        (
            "memory layout of results",
            'np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))',
            "values",
            "test_a_tree_as_legacy_weights",
        ),
        (
            "tensors of another dtype copied",
            "return tensor in self._empty",
            "return False",
            "test_what_renorm_adds_to_a_norm_goes_or_stays_with_it[neutral-.h5]",
        ),
        (
            "tensors kept as unwritten",
            "item = self._empty.pop(tensor)",
            "item = self._empty[tensor]",
            "test_a_tree_as_legacy_weights[flat]",
        ),
    ),
    *edits(
        "adapters/reparam_adapters/hdf5_tree.py",
        HDF5,
        (
            "pipes opened",
            "if not stat.S_ISREG(os.fstat(handle).st_mode):",
            "if False:",
            "test_what_is_no_file",
        ),
        (
            "files that are nobody's closed",
            "        if self._own is not None:\n            self._own.close()",
            "        if True:\n            self._own.close()",
            "test_files_of_python_are_read_and_left_open",
        ),
        (
            "one axis too many",
            ".get_simple_extent_ndims() > MAX_RANK:",
            ".get_simple_extent_ndims() > MAX_RANK + 1:",
            "test_many_dimensions_are_refused",
        ),
        (
            "values that are none",
            "space.get_simple_extent_type() == self.h5.h5s.NULL",
            "False",
            "test_objects_without_a_value_are_refused",
        ),
        (
            "bfloat16 with float16's bias",
            "            bfloat16.set_ebias(127)\n",
            "",
            "test_bfloat16_as_a_float",
        ),
        (
            "bfloat16 of Keras",
            'return [*found, ("bfloat16", "<u2", create(np.dtype("V2")))]',
            "return found",
            "test_bfloat16_as_keras_stores_it",
        ),
        (
            "no memory is damage",
            "        except MemoryError:\n",
            "        except ZeroDivisionError:\n",
            "test_memory_that_does_not_suffice",
        ),
        (
            "errors of h5py",
            "raise self.refusal(what, saw, advice) from None",
            "raise",
            "test_what_is_no_hdf5",
        ),
        (
            "paths out of a group",
            'if not {"", ".", ".."}.isdisjoint(parts):',
            "if False:",
            "test_the_tree_is_that_of_the_file",
        ),
        (
            "lists in pieces",
            "keys = keys or list(takewhile(self.attributes.__contains__, parts))",
            "keys = keys",
            "test_names_are_joined",
        ),
        (
            "first piece of a list",
            "keys = keys or list(takewhile(self.attributes.__contains__, parts))",
            "keys = keys or list(takewhile(self.attributes.__contains__, parts))[:1]",
            "test_names_are_joined",
        ),
        (
            "lists of numbers",
            'elif getattr(value, "shape", None) != (0,):',
            "elif False:",
            "test_names_are_joined",
        ),
        (
            "branches of a tree forgotten",
            "stack += [*group.groups.values()][::-1]",
            "stack = [*group.groups.values()][::-1]",
            "test_the_tree_is_that_of_the_file",
        ),
        (
            "texts read as numbers",
            '        if self.dtype == "other":\n',
            "        if False:\n",
            "test_other_dtypes_are_bytes",
        ),
        (
            "big-endian arrays",
            'return array.astype(array.dtype.newbyteorder("="), copy=False)',
            "return array",
            "test_numbers_of_any_byte_order",
        ),
        (
            "big-endian bfloat16",
            'array.astype("=u2", copy=False)',
            "array",
            "test_bfloat16_as_a_float",
        ),
        (
            "bytes of big-endian files",
            'array.astype(array.dtype.newbyteorder("<"), copy=False)',
            "array",
            "test_numbers_of_any_byte_order",
        ),
        (
            "short reads",
            "            view = view[done:]\n",
            "            break\n",
            "test_a_file_cut_while_open_is_refused",
        ),
    ),
]

MUTANTS = [*COVERED]

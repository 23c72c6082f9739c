"""What the system tells of the machine."""

from ganzoo.devices import machine


def test_the_flags_of_a_processor_are_read_where_the_system_lists_them(tmp_path):
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor\t: 0\nflags\t\t: fpu avx2 amx_tile\nmodel name\t: X\n")
    assert machine.processor_flags(listed) == {"fpu", "avx2", "amx_tile"}
    assert machine.processor_flags(tmp_path / "none") == set()

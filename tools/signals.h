#pragma once

namespace aft::cli {

/// INT, TERM and HUP shall remove files that are half written, and then end the process as they would have.
void remove_unfinished_files_on_signals() noexcept;

/// Removes the unfinished files, and ends the process by the signal.
void end_by(int signal) noexcept;

/// A signal shall call the handler; one that is ignored, as nohup and shells have it, stays ignored.
void on_signal(int signal, void (*handler)(int)) noexcept;

}  // namespace aft::cli

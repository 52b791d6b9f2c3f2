#include "c/c_status.h"

#include <aft/error.h>

#include <cstdio>
#include <exception>
#include <new>

namespace aft {
namespace {

thread_local char message_of_thread[4096];

aft_status keep(aft_status status, const char *message) noexcept {
    std::snprintf(message_of_thread, sizeof(message_of_thread), "%s", message);
    return status;
}

}  // namespace

aft_status keep_error() noexcept {
    try {
        throw;
    } catch (const ArgumentError &error) {
        return keep(AFT_ERROR_ARGUMENT, error.what());
    } catch (const ShapeError &error) {
        return keep(AFT_ERROR_SHAPE, error.what());
    } catch (const ConfigError &error) {
        return keep(AFT_ERROR_CONFIG, error.what());
    } catch (const WeightsError &error) {
        return keep(AFT_ERROR_WEIGHTS, error.what());
    } catch (const DeviceError &error) {
        return keep(AFT_ERROR_DEVICE, error.what());
    } catch (const KernelError &error) {
        return keep(AFT_ERROR_KERNEL, error.what());
    } catch (const std::bad_alloc &) {
        return keep(AFT_ERROR_NO_MEMORY, "no memory left");
    } catch (const std::exception &error) {
        return keep(AFT_ERROR_INTERNAL, error.what());
    } catch (...) {
        return keep(AFT_ERROR_INTERNAL, "an exception of an unknown type");
    }
}

const char *last_message() noexcept {
    return message_of_thread;
}

}  // namespace aft

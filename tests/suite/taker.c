/* A module that takes the names of commands: those that it is given when it is loaded. */
#include <stddef.h>

/* The beginning of `struct RedisModuleCtx`: how a module gets at the rest of the API. */
struct ctx { int (*get_api)(const char *, void *); };
typedef int (*command)(struct ctx *, void **, int);

static int do_nothing(struct ctx *ctx, void **argv, int argc)
{
    (void)ctx, (void)argv, (void)argc;
    return 0;
}

int RedisModule_OnLoad(struct ctx *ctx, void **argv, int argc)
{
    void (*set_attributes)(struct ctx *, const char *, int, int);
    int (*create)(struct ctx *, const char *, command, const char *, int, int, int);
    const char *(*text)(void *, size_t *);
    ctx->get_api("RedisModule_SetModuleAttribs", &set_attributes);
    ctx->get_api("RedisModule_CreateCommand", &create);
    ctx->get_api("RedisModule_StringPtrLen", &text);
    set_attributes(ctx, "taker", 1, 1);
    for (int i = 0; i < argc; i++)
        if (create(ctx, text(argv[i], NULL), do_nothing, "", 0, 0, 0) != 0)
            return 1;
    return 0;
}
